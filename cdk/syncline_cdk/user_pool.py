"""Users of a deployment in Cognito, for those who have no identity provider yet."""

from aws_cdk import CfnOutput, Duration, RemovalPolicy
from aws_cdk import aws_cognito as cognito
from constructs import Construct

from syncline.aws.settings import UserPoolSettings
from syncline_cdk.settings import DeploymentSettings


class UserPool(Construct):
    """A pool whose users sign up by e-mail, and a client for web pages and phones.

    The deployment takes the ID tokens of this client; their keys are public, so that no function
    needs a permission.
    """

    def __init__(self, scope: Construct, name: str, *, settings: DeploymentSettings) -> None:
        super().__init__(scope, name)
        self.pool = cognito.UserPool(
            self,
            "Pool",
            user_pool_name=f"{settings.deployment}-users",
            self_sign_up_enabled=True,
            sign_in_aliases=cognito.SignInAliases(email=True),
            auto_verify=cognito.AutoVerifiedAttrs(email=True),
            sign_in_case_sensitive=False,
            account_recovery=cognito.AccountRecovery.EMAIL_ONLY,
            password_policy=cognito.PasswordPolicy(
                min_length=12,
                require_digits=True,
                require_lowercase=True,
                require_symbols=True,
                require_uppercase=True,
            ),
            mfa=cognito.Mfa.OPTIONAL,
            mfa_second_factor=cognito.MfaSecondFactor(otp=True, sms=False),
            deletion_protection=settings.protect_data,
            removal_policy=RemovalPolicy.RETAIN if settings.protect_data else RemovalPolicy.DESTROY,
        )
        self.client = self.pool.add_client(
            "Client",
            # Pages and phones keep no secrets.
            generate_secret=False,
            auth_flows=cognito.AuthFlow(user_srp=True),
            prevent_user_existence_errors=True,
            enable_token_revocation=True,
            id_token_validity=Duration.hours(1),
            access_token_validity=Duration.hours(1),
            refresh_token_validity=Duration.days(30),
        )

    def for_functions(self) -> UserPoolSettings:
        """By what functions know its tokens."""
        return UserPoolSettings(self.pool.user_pool_provider_url, self.client.user_pool_client_id)

    def add_outputs(self, stack: Construct) -> None:
        """What clients are configured with."""
        CfnOutput(stack, "UserPoolId", value=self.pool.user_pool_id)
        CfnOutput(stack, "UserPoolClientId", value=self.client.user_pool_client_id)
