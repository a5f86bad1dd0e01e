"""grpcio, with stubs by grpcio-tools. What it has to print is in ../script.ts."""

import json
import os
import sys
import traceback

import grpc
from grpc_status import rpc_status
from zitadel import management_pb2 as messages
from zitadel import management_pb2_grpc, message_pb2
from zitadel.policy_pb2 import SecondFactorType

url = os.environ["PORTCULLIS_URL"]
slow_url = os.environ["PORTCULLIS_SLOW_URL"]
token = os.environ["PORTCULLIS_TOKEN"]
organization = os.environ["PORTCULLIS_ORGANIZATION"]
other_organization = os.environ["PORTCULLIS_OTHER_ORGANIZATION"]

SMS = messages.AddSecondFactorToLoginPolicyRequest(type="SECOND_FACTOR_TYPE_OTP_SMS")


def connect(to: str) -> grpc.Channel:
    scheme, target = to.split("://")
    if scheme == "http":
        return grpc.insecure_channel(target)
    with open(os.environ["PORTCULLIS_CA"], "rb") as ca:
        return grpc.secure_channel(target, grpc.ssl_channel_credentials(ca.read()))


def metadata(token: str = token, organization: str = organization) -> list[tuple[str, str]]:
    return [("authorization", f"Bearer {token}"), ("x-zitadel-orgid", organization)]


def names(factors) -> list[str]:
    return [SecondFactorType.Name(factor) for factor in factors]


def list_factors(stub, metadata=metadata(), **options) -> list[str]:
    request = messages.ListLoginPolicySecondFactorsRequest()
    return names(stub.ListLoginPolicySecondFactors(request, metadata=metadata, **options).result)


def refusal(call) -> dict:
    try:
        call()
    except grpc.RpcError as error:
        told = {"code": error.code().value[0], "message": error.details()}
        status = rpc_status.from_call(error)
        for detail in status.details if status else ():
            known = message_pb2.ErrorDetail()
            if detail.Unpack(known):
                told["id"] = known.id
        return told
    raise AssertionError("the call was not refused")


def add(stub) -> dict:
    _, call = stub.AddSecondFactorToLoginPolicy.with_call(SMS, metadata=metadata())
    return {"ok": True, "policyHeader": dict(call.initial_metadata()).get("portcullis-policy")}


def remove(stub) -> dict:
    request = messages.RemoveSecondFactorFromLoginPolicyRequest(type=SMS.type)
    stub.RemoveSecondFactorFromLoginPolicy(request, metadata=metadata())
    return {"ok": True}


def get_policy(stub) -> dict:
    policy = stub.GetLoginPolicy(messages.GetLoginPolicyRequest(), metadata=metadata()).policy
    return {"isDefault": policy.is_default, "secondFactors": names(policy.second_factors)}


def deadline(_) -> dict:
    with connect(slow_url) as channel:
        slow = management_pb2_grpc.ManagementServiceStub(channel)
        return refusal(lambda: list_factors(slow, timeout=0.5))


def compressed(stub) -> dict:
    # The request of a list is empty. This one is read right where it is refused so.
    request = messages.AddSecondFactorToLoginPolicyRequest(type="SECOND_FACTOR_TYPE_OTP")

    def refused_by(compression: grpc.Compression) -> bool:
        options = {"metadata": metadata(), "compression": compression}
        return refusal(lambda: stub.AddSecondFactorToLoginPolicy(request, **options))["code"] == 6

    # Both are built into grpcio.
    ok = all(refused_by(compression) for compression in (grpc.Compression.Gzip, grpc.Compression.Deflate))
    return {"ok": ok, "result": list_factors(stub, compression=grpc.Compression.Gzip)}


STEPS = {
    "list": lambda stub: {"result": list_factors(stub)},
    "add": add,
    "add again": lambda stub: refusal(lambda: stub.AddSecondFactorToLoginPolicy(SMS, metadata=metadata())),
    "remove": remove,
    "get policy": get_policy,
    "wrong token": lambda stub: refusal(lambda: list_factors(stub, metadata(token="wrong"))),
    "other organization": lambda stub: {"result": list_factors(stub, metadata(organization=other_organization))},
    "deadline": deadline,
    "gzip": compressed,
}

with connect(url) as channel:
    management = management_pb2_grpc.ManagementServiceStub(channel)
    for step, call in STEPS.items():
        try:
            print(json.dumps({"step": step, **call(management)}))
        except Exception:
            print(f"{step}: {traceback.format_exc()}", file=sys.stderr)
