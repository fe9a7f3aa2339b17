"""The stacks that provision a Syncline deployment, for `cdk/app.py` and for any CDK app."""
