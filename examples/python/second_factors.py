"""gRPC with grpcio: adds a second factor to the organization of the token's user, and lists all factors."""

import os
import sys

import grpc
from grpc_status import rpc_status
from zitadel import management_pb2, management_pb2_grpc, message_pb2, policy_pb2

url = os.environ.get("PORTCULLIS_URL", "http://127.0.0.1:8080")
token = os.environ.get("PORTCULLIS_TOKEN")
if token is None:
    sys.exit("set PORTCULLIS_TOKEN, for example to what is in data/admin.token")


def error_id(error: grpc.RpcError) -> str | None:
    """Return the id of an error. Compare ids, because texts may change."""
    status = rpc_status.from_call(error)
    for detail in status.details if status else ():
        known = message_pb2.ErrorDetail()
        if detail.Unpack(known):
            return known.id
    return None


def connect() -> grpc.Channel:
    scheme, target = url.split("://")
    if scheme == "http":
        return grpc.insecure_channel(target)
    return grpc.secure_channel(target, grpc.ssl_channel_credentials())


with connect() as channel:
    management = management_pb2_grpc.ManagementServiceStub(channel)
    call = {"metadata": [("authorization", f"Bearer {token}")], "timeout": 10}
    try:
        sms = policy_pb2.SECOND_FACTOR_TYPE_OTP_SMS
        management.AddSecondFactorToLoginPolicy(management_pb2.AddSecondFactorToLoginPolicyRequest(type=sms), **call)
        print("added")
    except grpc.RpcError as error:
        if error_id(error) != "Org-2B0ps":  # any other error than "already there"
            raise
        print(f"not added: {error.code().name}: {error.details()}")
    listed = management.ListLoginPolicySecondFactors(management_pb2.ListLoginPolicySecondFactorsRequest(), **call)
    print("second factors:", ", ".join(policy_pb2.SecondFactorType.Name(factor) for factor in listed.result))
