"""Add your identity provider here; `syncline auth token` needs none of it.

from syncline import Oidc

providers = [Oidc(domain="https://your-tenant.example", application_id="your-client-id")]
"""

providers = []
