"""Speaks to a running simulator with Alibaba Cloud's newer Python SDKs, which sign with ACS3-HMAC-SHA256.

Usage: check_v3.py URL REGION RUNNING_ID ACCESS_KEY_ID ACCESS_KEY_SECRET ROLE_ARN OIDC_PROVIDER_ARN OIDC_TOKEN
The role trusts the key and the token, and sees the instance. Ends with 0 and one line per check, or with an exception at
the first that fails.
"""

import json
import sys
import time
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from alibabacloud_ecs20140526 import models as ecs
from alibabacloud_ecs20140526.client import Client as EcsClient
from alibabacloud_sts20150401 import models as sts
from alibabacloud_sts20150401.client import Client as StsClient
from alibabacloud_tea_openapi.utils_models import Config
from darabonba.runtime import RuntimeOptions

SPECIALS = "()`~!@#$%^&*-_+=|{}[]:;'<>,.?/"
URL, REGION, RUNNING, KEY_ID, KEY_SECRET, ROLE, PROVIDER, TOKEN = sys.argv[1:9]
# A retry of the SDK's own would hide a refusal behind a second answer.
ONCE = RuntimeOptions(autoretry=False, max_attempts=1, read_timeout=10000, connect_timeout=10000)


def config(key_id=KEY_ID, secret=KEY_SECRET, token=None):
    return Config(
        access_key_id=key_id, access_key_secret=secret, security_token=token, region_id=REGION,
        endpoint=urlsplit(URL).netloc, protocol="http",
    )


def describe(client, name="*"):
    request = ecs.DescribeInstancesRequest(region_id=REGION, instance_ids=json.dumps([RUNNING]), instance_name=name)
    return client.describe_instances_with_options(request, ONCE).body.instances.instance


def modify(client, password):
    request = ecs.ModifyInstanceAttributeRequest(instance_id=RUNNING, password=password)
    return client.modify_instance_attribute_with_options(request, ONCE).body.request_id


def reboot(client, **parameters):
    request = ecs.RebootInstanceRequest(instance_id=RUNNING, **parameters)
    return client.reboot_instance_with_options(request, ONCE).body.request_id


def check(condition, what):
    assert condition, what
    print("ok:", what)


def refusal(work, code):
    try:
        work()
    except Exception as error:
        assert getattr(error, "code", None) == code, error
        print("ok: refused with", code)
        return
    raise AssertionError(f"not refused; expected {code}")


def wait_until(what, is_so):
    for _ in range(200):
        if is_so():
            return
        time.sleep(0.05)
    raise AssertionError("in vain: " + what)


def in_effect(password):
    body = json.dumps({"equals": password}).encode()
    return json.load(urlopen(Request(f"{URL}/simulator/instances/{RUNNING}/password", data=body)))["inEffect"]


def reset(client):
    for password in ["Aa1" + SPECIALS[:15], "Aa1" + SPECIALS[15:]]:
        check(modify(client, password), "ModifyInstanceAttribute, 15 specials")
        refusal(lambda: reboot(client, dry_run=True), "DryRunOperation")
        check(reboot(client), "RebootInstance")
        wait_until("the password is in effect", lambda: in_effect(password))
        wait_until("it is Running", lambda: describe(client)[0].status == "Running")


def become(credentials):
    session = config(credentials.access_key_id, credentials.access_key_secret, credentials.security_token)
    who = StsClient(session).get_caller_identity_with_options(ONCE).body
    name = ROLE.rsplit("/", 1)[1]
    check(who.arn.endswith(f":assumed-role/{name}/check"), "GetCallerIdentity of a session")
    return EcsClient(session)


def roles():
    client = StsClient(config())
    request = sts.AssumeRoleRequest(role_arn=ROLE, role_session_name="check", duration_seconds=900)
    answer = client.assume_role_with_options(request, ONCE).body
    check(describe(become(answer.credentials)), "AssumeRole, and DescribeInstances with what it gave")

    def with_oidc(token):
        request = sts.AssumeRoleWithOIDCRequest(
            role_arn=ROLE, oidcprovider_arn=PROVIDER, oidctoken=token, role_session_name="check"
        )
        return client.assume_role_with_oidcwith_options(request, ONCE).body.credentials

    check(describe(become(with_oidc(TOKEN))), "AssumeRoleWithOIDC, and DescribeInstances with what it gave")
    refusal(lambda: with_oidc(TOKEN + "x"), "AuthenticationFail.OIDCToken.Invalid")


def wrong_secret():
    bad = EcsClient(config(secret=KEY_SECRET + "x"))
    for attempt in [lambda: describe(bad), lambda: modify(bad, "Aa1" + SPECIALS[:15]), lambda: reboot(bad)]:
        refusal(attempt, "SignatureDoesNotMatch")


if __name__ == "__main__":
    good = EcsClient(config())
    found = describe(good)
    check([each.instance_id for each in found] == [RUNNING], "DescribeInstances by id")
    check(found[0].status == "Running" and found[0].region_id == REGION, "DescribeInstances shows status and region")
    check(describe(good, "a b*~测试") == [], "a query with characters that have to be encoded")
    reset(good)
    roles()
    wrong_secret()
