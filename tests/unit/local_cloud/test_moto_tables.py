"""Conditional writes on moto's tables: of many at once, one succeeds."""

from concurrent.futures import ThreadPoolExecutor

import boto3
from botocore.exceptions import ClientError

from tests.contract.moto_tables import create_table, moto_cloud


def test_of_many_who_make_an_item_at_once_one_does():
    with moto_cloud(), ThreadPoolExecutor(4) as threads:
        create_table("races", {"name": "S"})
        client = boto3.client("dynamodb")

        def make(name: str) -> bool:
            try:
                client.update_item(
                    TableName="races",
                    Key={"name": {"S": name}},
                    UpdateExpression="SET made = :m",
                    ConditionExpression="attribute_not_exists(made)",
                    ExpressionAttributeValues={":m": {"BOOL": True}},
                )
            except ClientError:
                return False
            return True

        for race in range(50):
            assert sum(threads.map(make, [f"race {race}"] * 4)) == 1
