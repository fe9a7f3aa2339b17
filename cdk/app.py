"""The CDK app: `cdk deploy` runs it through cdk.json, `python cdk/app.py` writes cdk.out itself.

    python cdk/app.py                                        for checks; needs no network
    npx cdk deploy --all                                     builds the code for Lambda and deploys
    npx cdk deploy --all -c 'syncline={"deployment": "test", "code": "lambda"}'
                                                             settings instead of cdk.json's

Without the CDK's command line nothing reads cdk.json, so the settings are their defaults, with the
code made of what is installed here; CDK_CONTEXT_JSON={"syncline": {...}} names others.
"""

from syncline_cdk.app import main

if __name__ == "__main__":
    main()
