"""Speaks to a running simulator with Alibaba Cloud's own Python SDK, for every action that the controller uses.

This is what keeps the simulator honest: the signatures, parameters and answers here are written and read by code that
was made for the real ECS. Usage: check.py URL REGION RUNNING_ID STOPPED_ID ACCESS_KEY_ID ACCESS_KEY_SECRET
Ends with 0 and one line per check, or with an exception at the first that fails.
"""

import json
import sys
import time
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from aliyunsdkcore.acs_exception.exceptions import ServerException
from aliyunsdkcore.client import AcsClient
from aliyunsdkecs.request.v20140526 import (
    DescribeInstancesRequest,
    ModifyInstanceAttributeRequest,
    RebootInstanceRequest,
    StartInstanceRequest,
    StopInstanceRequest,
)
from aliyunsdksts.request.v20150401 import GetCallerIdentityRequest

SPECIALS = "()`~!@#$%^&*-_+=|{}[]:;'<>,.?/"
URL, REGION, RUNNING, STOPPED, KEY_ID, KEY_SECRET = sys.argv[1:7]
ENDPOINT = urlsplit(URL).netloc


def client_with(secret):
    # A retry of the SDK's own would hide a refusal behind a second answer.
    client = AcsClient(KEY_ID, secret, REGION, auto_retry=False, timeout=10)
    return client


def call(request, client, **parameters):
    request.set_endpoint(ENDPOINT)
    request.set_protocol_type("http")
    request.set_accept_format("JSON")
    for name, value in parameters.items():
        getattr(request, "set_" + name)(value)
    return json.loads(client.do_action_with_exception(request))


def describe(client, **parameters):
    return call(DescribeInstancesRequest.DescribeInstancesRequest(), client, **parameters)


def refusal(work, *codes):
    try:
        work()
    except ServerException as error:
        assert error.get_error_code() in codes, error
        assert error.get_request_id(), "no RequestId"
        return error
    raise AssertionError(f"not refused; expected {codes}")


def check(condition, what):
    assert condition, what
    print("ok:", what)


def wait_until(client, instance_id, status):
    for _ in range(200):
        found = describe(client, InstanceIds=json.dumps([instance_id]))["Instances"]["Instance"][0]
        if found["Status"] == status:
            return found
        time.sleep(0.05)
    raise AssertionError(f"{instance_id} did not become {status}")


def in_effect(instance_id, password):
    body = json.dumps({"equals": password}).encode()
    answer = urlopen(Request(f"{URL}/simulator/instances/{instance_id}/password", data=body))
    return json.load(answer)["inEffect"]


def modify(client, instance_id, password):
    request = ModifyInstanceAttributeRequest.ModifyInstanceAttributeRequest()
    return call(request, client, InstanceId=instance_id, Password=password)


def reboot(client, instance_id, **parameters):
    return call(RebootInstanceRequest.RebootInstanceRequest(), client, InstanceId=instance_id, **parameters)


def reading(client):
    who = call(GetCallerIdentityRequest.GetCallerIdentityRequest(), client)
    check(who["AccountId"] and who["Arn"].startswith("acs:ram::"), "GetCallerIdentity")

    found = describe(client, InstanceIds=json.dumps([RUNNING]))["Instances"]["Instance"]
    check([each["InstanceId"] for each in found] == [RUNNING], "DescribeInstances by id")
    check(found[0]["Status"] == "Running" and found[0]["RegionId"] == REGION, "DescribeInstances shows status and region")

    seen, token = [], None
    while token != "":
        parameters = {"MaxResults": 10} if token is None else {"MaxResults": 10, "NextToken": token}
        page = describe(client, **parameters)
        seen += [each["InstanceId"] for each in page["Instances"]["Instance"]]
        token = page["NextToken"]
    check(len(seen) > 10 and len(seen) == len(set(seen)), f"DescribeInstances in pages ({len(seen)} instances)")

    tagged = describe(client, Tags=[{"Key": "sdk", "Value": "yes"}])["Instances"]["Instance"]
    check([each["InstanceId"] for each in tagged] == [RUNNING], "DescribeInstances by tag")
    refusal(lambda: describe(client, InstanceIds=json.dumps([RUNNING]), DryRun=True), "DryRunOperation")
    print("ok: DescribeInstances with DryRun")


def changing(client):
    for password in ["Aa1" + SPECIALS[:15], "Aa1" + SPECIALS[15:]]:
        check(modify(client, RUNNING, password)["RequestId"], "ModifyInstanceAttribute, 15 specials")
        refusal(lambda: reboot(client, RUNNING, DryRun=True), "DryRunOperation")
        check(reboot(client, RUNNING)["RequestId"], "RebootInstance")
        for _ in range(200):
            if in_effect(RUNNING, password):
                break
            time.sleep(0.05)
        check(in_effect(RUNNING, password), "the password is in effect after the reboot")
        wait_until(client, RUNNING, "Running")
    refusal(lambda: modify(client, RUNNING, SPECIALS), "InvalidPassword.Malformed")
    refusal(lambda: modify(client, "i-none", "Abcdef1!"), "InvalidInstanceId.NotFound")
    refusal(lambda: reboot(client, STOPPED), "IncorrectInstanceStatus")
    print("ok: refusals of the API")

    modify(client, STOPPED, "Abcdef1!")
    call(StartInstanceRequest.StartInstanceRequest(), client, InstanceId=STOPPED)
    wait_until(client, STOPPED, "Running")
    check(in_effect(STOPPED, "Abcdef1!"), "StartInstance applies a password")
    call(StopInstanceRequest.StopInstanceRequest(), client, InstanceId=STOPPED)
    wait_until(client, STOPPED, "Stopped")
    print("ok: StopInstance")


def wrong_secret():
    # The SDK compares the server's string-to-sign with its own and says so when they are equal: then only the secret
    # is to blame, which proves that the simulator canonicalizes as ECS does.
    bad = client_with(KEY_SECRET + "x")
    attempts = [
        lambda: describe(bad, InstanceIds=json.dumps([RUNNING]), InstanceName="a b*~测试"),
        lambda: modify(bad, RUNNING, "Aa1" + SPECIALS[:15]),
        lambda: modify(bad, RUNNING, "Aa1" + SPECIALS[15:]),
        lambda: reboot(bad, RUNNING),
        lambda: call(GetCallerIdentityRequest.GetCallerIdentityRequest(), bad),
    ]
    for attempt in attempts:
        refusal(attempt, "InvalidAccessKeySecret")
    print("ok: a wrong secret is refused, and the SDK finds the string-to-sign to be its own")


if __name__ == "__main__":
    good = client_with(KEY_SECRET)
    reading(good)
    changing(good)
    wrong_secret()
