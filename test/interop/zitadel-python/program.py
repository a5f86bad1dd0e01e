"""Signs in with ZITADEL's Python SDK in the way that is named, makes two calls with its client, and prints what came back as JSON.

program.py WAY URL CA [ARGUMENT ...]: WAY is the name of a function of the SDK such as with_private_key, and the arguments are
what it takes beside the server's URL. CA is the path of a certificate authority, or empty for plaintext.
"""

import json
import sys

from zitadel_client import ApiError, Zitadel
from zitadel_client.models import SettingsServiceGetLoginSettingsRequest
from zitadel_client.transport_options import TransportOptions

way, url, ca, *arguments = sys.argv[1:]


def outcome(call):
    try:
        return call()
    except ApiError as error:
        return {"status": error.code, "body": error.response_body}


def list_second_factors(client):
    """The SDK knows none of the v1 API, so this takes its transport, which brings the token."""
    request = client.param_serialize(
        method="POST",
        resource_path="/management/v1/policies/login/second_factors/_search",
        header_params={"Content-Type": "application/json", "Accept": "application/json"},
    )
    response = client.call_api(*request)
    response.read()
    return client.response_deserialize(response, {"200": "object"}).data


with getattr(Zitadel, way)(url, *arguments, transport_options=TransportOptions(ca_cert_path=ca or None)) as zitadel:
    request = SettingsServiceGetLoginSettingsRequest()
    print(
        json.dumps(
            {
                "v1": outcome(lambda: list_second_factors(zitadel.settings.api_client)),
                "v2": outcome(lambda: zitadel.settings.get_login_settings(request)),
            }
        )
    )
