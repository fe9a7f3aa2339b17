"""The log's database: Aurora PostgreSQL that pauses when idle, in a network of its own."""

from aws_cdk import ArnFormat, Aws, Duration, RemovalPolicy, Stack
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_rds as rds
from constructs import Construct

from syncline.aws.settings import DataApiDatabase, DirectDatabase
from syncline_cdk.settings import DeploymentSettings

LOGIN = "syncline"
"""The user that functions log in as through IAM, if they connect directly; the push makes it and
gives it the role `rds_iam`."""


class Database(Construct):
    """The cluster, its network, and what a function needs to reach it."""

    def __init__(
        self, scope: Construct, name: str, *, settings: DeploymentSettings, key: kms.IKey
    ) -> None:
        super().__init__(scope, name)
        self._settings = settings
        self.is_direct = settings.database_access == "direct"
        self.network = self._network()
        self.client_group = ec2.SecurityGroup(
            self,
            "ClientGroup",
            vpc=self.network,
            description="Functions that connect to the database",
            allow_all_outbound=self.is_direct,
        )
        self.cluster = self._cluster(settings, key)
        if self.is_direct:
            self.cluster.connections.allow_default_port_from(self.client_group, "functions")

    def _network(self) -> ec2.Vpc:
        """Two zones without a way in; a way out only if functions live here too."""
        database = ec2.SubnetConfiguration(
            name="Database", subnet_type=ec2.SubnetType.PRIVATE_ISOLATED, cidr_mask=24
        )
        outward = [
            ec2.SubnetConfiguration(
                name="Functions", subnet_type=ec2.SubnetType.PRIVATE_WITH_EGRESS, cidr_mask=20
            ),
            ec2.SubnetConfiguration(
                name="Outward",
                subnet_type=ec2.SubnetType.PUBLIC,
                cidr_mask=28,
                map_public_ip_on_launch=False,
            ),
        ]
        network = ec2.Vpc(
            self,
            "Network",
            max_azs=2,
            nat_gateways=1 if self.is_direct else 0,
            restrict_default_security_group=False,
            subnet_configuration=[database, *outward] if self.is_direct else [database],
        )
        if self.is_direct:
            for service in ("DYNAMODB", "S3"):
                network.add_gateway_endpoint(
                    service.title(),
                    service=getattr(ec2.GatewayVpcEndpointAwsService, service),
                )
        return network

    def _cluster(self, settings: DeploymentSettings, key: kms.IKey) -> rds.DatabaseCluster:
        version = rds.AuroraPostgresEngineVersion.of(
            settings.database_version, settings.database_version.split(".")[0]
        )
        return rds.DatabaseCluster(
            self,
            "Cluster",
            engine=rds.DatabaseClusterEngine.aurora_postgres(version=version),
            writer=rds.ClusterInstance.serverless_v2("Writer", publicly_accessible=False),
            serverless_v2_min_capacity=0,
            serverless_v2_max_capacity=settings.database_capacity_max,
            serverless_v2_auto_pause_duration=Duration.seconds(settings.database_pause_seconds),
            default_database_name=settings.database_name,
            credentials=rds.Credentials.from_generated_secret("owner", encryption_key=key),
            enable_data_api=True,
            iam_authentication=True,
            vpc=self.network,
            vpc_subnets=ec2.SubnetSelection(subnet_type=ec2.SubnetType.PRIVATE_ISOLATED),
            storage_encrypted=True,
            storage_encryption_key=key,
            backup=rds.BackupProps(retention=Duration.days(settings.backup_days)),
            copy_tags_to_snapshot=True,
            deletion_protection=settings.protect_data,
            removal_policy=RemovalPolicy.RETAIN if settings.protect_data else RemovalPolicy.DESTROY,
        )

    @property
    def _secret_arn(self) -> str:
        secret = self.cluster.secret
        assert secret is not None, "generated credentials lie in a secret"
        return secret.secret_arn

    def for_functions(self) -> DataApiDatabase | DirectDatabase:
        """How functions reach the log."""
        if self.is_direct:
            host = self.cluster.cluster_endpoint.hostname
            return DirectDatabase(host, LOGIN, self._settings.database_name)
        return self.for_owner()

    def for_owner(self) -> DataApiDatabase:
        """How the push reaches the log, which it migrates as its owner."""
        name = self._settings.database_name
        return DataApiDatabase(self.cluster.cluster_arn, self._secret_arn, name)

    @property
    def login(self) -> str:
        """The database user that the push must make for the functions; "": they need none."""
        return LOGIN if self.is_direct else ""

    def statements(self) -> list[iam.PolicyStatement]:
        """What a role needs to use the log."""
        if not self.is_direct:
            return self._data_api_statements("BatchExecuteStatement", "ExecuteStatement")
        user = Stack.of(self).format_arn(
            service="rds-db",
            resource="dbuser",
            resource_name=f"{self.cluster.cluster_resource_identifier}/{LOGIN}",
            arn_format=ArnFormat.COLON_RESOURCE_NAME,
        )
        return [
            iam.PolicyStatement(sid="Log", actions=["rds-db:connect"], resources=[user]),
            # Lambda makes network interfaces with the function's role and names no resource.
            iam.PolicyStatement(
                sid="Network",
                actions=[
                    "ec2:CreateNetworkInterface",
                    "ec2:DeleteNetworkInterface",
                    "ec2:DescribeNetworkInterfaces",
                    "ec2:DescribeSubnets",
                ],
                resources=["*"],
                conditions={"StringEquals": {"aws:RequestedRegion": Aws.REGION}},
            ),
        ]

    def owner_statements(self) -> list[iam.PolicyStatement]:
        """What a role needs to migrate the log, in transactions, and to use it."""
        return self._data_api_statements(
            "BatchExecuteStatement",
            "BeginTransaction",
            "CommitTransaction",
            "ExecuteStatement",
            "RollbackTransaction",
        )

    def _data_api_statements(self, *operations: str) -> list[iam.PolicyStatement]:
        return [
            iam.PolicyStatement(
                sid="Log",
                actions=[f"rds-data:{operation}" for operation in operations],
                resources=[self.cluster.cluster_arn],
            ),
            iam.PolicyStatement(
                sid="LogLogin",
                actions=["secretsmanager:GetSecretValue"],
                resources=[self._secret_arn],
            ),
        ]
