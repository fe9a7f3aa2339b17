"""AWS on one machine: moto's services, and ours where moto has none or is not faithful."""
