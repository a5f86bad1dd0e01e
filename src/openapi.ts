import type { JsonObject } from "@bufbuild/protobuf";
import { comments } from "../gen/comments.ts";
import { AdminService } from "../gen/zitadel/admin_pb.ts";
import { ManagementService } from "../gen/zitadel/management_pb.ts";
import { createOpenApi } from "./rpc/openapi/document.ts";
import { createRouteTable } from "./rpc/rest/route-table.ts";
import { createRpcTable } from "./rpc/router.ts";

const apiScope = "urn:zitadel:iam:org:project:id:zitadel:aud";

const organizationHeader: JsonObject = {
  name: "x-zitadel-orgid",
  in: "header",
  description: "The organization that the call is about. Default: the caller's own.",
  schema: { type: "string" },
};

/** The OpenAPI 3.1 document of the API. */
export function createApiDocument(version: string): JsonObject {
  const rpcs = createRpcTable((router) => {
    router.service(ManagementService, {});
    router.service(AdminService, {});
  });
  return createOpenApi(createRouteTable(rpcs).routes, {
    info: {
      title: "Portcullis",
      version,
      description:
        "ZITADEL's v1 API for login policies: which second factors and multi-factors the people of an organization may " +
        "sign in with, and the other settings of a login policy. Every route takes JSON; a POST route also takes the " +
        "call in gRPC's framing, over HTTP/2, or in gRPC-Web's.",
      license: { name: "Apache-2.0", identifier: "Apache-2.0" },
    },
    comments,
    securitySchemes: {
      OAuth2: {
        type: "oauth2",
        flows: {
          authorizationCode: {
            authorizationUrl: "/oauth/v2/authorize",
            tokenUrl: "/oauth/v2/token",
            scopes: { openid: "openid", [apiScope]: "Makes the token good for this API." },
          },
        },
      },
      bearer: { type: "http", scheme: "bearer", description: "A personal access token." },
    },
    security: [{ OAuth2: ["openid", apiScope] }, { bearer: [] }],
    headers: {
      [ManagementService.typeName]: [organizationHeader],
      [AdminService.typeName]: [],
    },
  });
}
