"""Resets instances as a batch script would that uses Alibaba Cloud's own Python SDK: the peer of `make bench ARGS=--vs`.

Usage: peer.py URL REGION ACCESS_KEY_ID ACCESS_KEY_SECRET PASSWORD THREADS, the instance ids on standard input, one a line.
It sets all passwords, restarts all, and looks until each runs again. It has no memory, no limit and no second try.
Prints what it took as one line of JSON.
"""

import json
import resource
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

from aliyunsdkcore.client import AcsClient
from aliyunsdkecs.request.v20140526 import (
    DescribeInstancesRequest,
    ModifyInstanceAttributeRequest,
    RebootInstanceRequest,
)

URL, REGION, KEY_ID, KEY_SECRET, PASSWORD, THREADS = sys.argv[1:7]
PAGE = 100
INTERVAL_SECONDS = 0.2
# How long an instance may still be seen Running whose restart was accepted, and a little more.
SEEN_RUNNING_SECONDS = 0.6

client = AcsClient(KEY_ID, KEY_SECRET, REGION, auto_retry=False, timeout=30)


def call(request, **parameters):
    request.set_endpoint(urlsplit(URL).netloc)
    request.set_protocol_type("http")
    request.set_accept_format("JSON")
    for name, value in parameters.items():
        getattr(request, "set_" + name)(value)
    return json.loads(client.do_action_with_exception(request))


def modify(instance_id):
    call(ModifyInstanceAttributeRequest.ModifyInstanceAttributeRequest(), InstanceId=instance_id, Password=PASSWORD)


def reboot(instance_id):
    call(RebootInstanceRequest.RebootInstanceRequest(), InstanceId=instance_id)


def describe(page):
    request = DescribeInstancesRequest.DescribeInstancesRequest()
    found = call(request, InstanceIds=json.dumps(page), PageSize=PAGE)["Instances"]["Instance"]
    return [(each["InstanceId"], each["Status"] == "Running") for each in found]


def look(pool, ids):
    pages = [ids[at:at + PAGE] for at in range(0, len(ids), PAGE)]
    return [each for page in pool.map(describe, pages) for each in page]


def run(ids):
    with ThreadPoolExecutor(int(THREADS)) as pool:
        look(pool, ids)
        list(pool.map(modify, ids))
        list(pool.map(reboot, ids))
        time.sleep(SEEN_RUNNING_SECONDS)
        left = ids
        while left:
            left = [instance_id for instance_id, runs in look(pool, left) if not runs]
            time.sleep(INTERVAL_SECONDS)


if __name__ == "__main__":
    instances = sys.stdin.read().split()
    began = time.monotonic()
    run(instances)
    used = resource.getrusage(resource.RUSAGE_SELF)
    print(json.dumps({
        "makespanSeconds": time.monotonic() - began,
        "cpuSeconds": used.ru_utime + used.ru_stime,
        "peakMiB": used.ru_maxrss / 1024,
    }))
