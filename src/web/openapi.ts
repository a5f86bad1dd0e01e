import { type DescField, getOption, hasOption, type JsonObject } from "@bufbuild/protobuf";
import { createOpenApi, createRouteTable, createRpcTable } from "@portcullis/rpc";
import { comments } from "../../gen/comments.ts";
import { rules } from "../../gen/validate/validate_pb.ts";
import { AdminService } from "../../gen/zitadel/admin_pb.ts";
import { AuthService } from "../../gen/zitadel/auth_pb.ts";
import { ManagementService } from "../../gen/zitadel/management_pb.ts";
import { auth_option } from "../../gen/zitadel/options_pb.ts";
import { issuerPaths } from "../auth/issuer/paths.ts";
import { apiScope, organizationHeader } from "../wire-names.ts";

const organizationParameter: JsonObject = {
  name: organizationHeader,
  in: "header",
  description: "The organization that the call is about. Default: the caller's own.",
  schema: { type: "string" },
};

export interface ApiDocumentOptions {
  readonly version: string;
  /** The built-in issuer; absent when it is off. Its URL defaults to the origin of the document. */
  readonly issuer?: { readonly url?: string };
}

/** The OpenAPI 3.1 document of the API. */
export function createApiDocument({ version, issuer }: ApiDocumentOptions): JsonObject {
  const rpcs = createRpcTable((router) => {
    router.service(ManagementService, {});
    router.service(AdminService, {});
    router.service(AuthService, {});
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
      ...(issuer && { OAuth2: oauth2(issuer.url ?? "") }),
      bearer: {
        type: "http",
        scheme: "bearer",
        description: "A personal access token, or an access token of an OpenID issuer that the server trusts.",
      },
    },
    security: [...(issuer ? [{ OAuth2: ["openid", apiScope] }] : []), { bearer: [] }],
    isRequired,
    // The server does not start with any other RPC that lacks a permission.
    isPublic: (method) => !hasOption(method, auth_option),
    headers: {
      [ManagementService.typeName]: [organizationParameter],
    },
  });
}

/** The flows of the built-in issuer, under the name of ZITADEL's published documents. */
function oauth2(origin: string): JsonObject {
  const tokenUrl = `${origin}${issuerPaths.token}`;
  const scopes = { openid: "openid", [apiScope]: "Makes the token good for this API." };
  return {
    type: "oauth2",
    description: "The code flow is with PKCE (S256). Client credentials are those of a service user.",
    flows: {
      authorizationCode: { authorizationUrl: `${origin}${issuerPaths.authorization}`, tokenUrl, scopes },
      clientCredentials: { tokenUrl, scopes },
    },
  };
}

/** Whether the rules of a field refuse its default value, so that a request must set it. */
function isRequired(field: DescField): boolean {
  if (!hasOption(field, rules)) return false;
  const { type } = getOption(field, rules);
  if (type.case === "string") return type.value.minLen > 0n;
  return type.case === "enum" && type.value.notIn.includes(0);
}
