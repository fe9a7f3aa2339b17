"""The ports on AWS: DynamoDB, SQS, API Gateway, S3, Secrets Manager and Aurora, and the Lambdas."""
