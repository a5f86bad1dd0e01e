// Names that clients see in headers and tokens. Each stands here and nowhere else.

/** The request header with the organization that a call is about. */
export const organizationHeader = "x-zitadel-orgid";

/** The response header of a write that copied the instance's policy (copy on write). Its value is `created`. */
export const policyHeader = "portcullis-policy";

/** The scope that makes a token valid for this API. ZITADEL's clients request it by this name. */
export const apiScope = "urn:zitadel:iam:org:project:id:zitadel:aud";

/** The audience that this server expects in tokens of other issuers, and that its own issuer puts into introspections. */
export const apiAudience = "portcullis";

/** ZITADEL's claims with the user's roles and home organization. */
export const rolesClaim = "urn:zitadel:iam:org:project:roles";
export const homeOrganizationClaim = "urn:zitadel:iam:user:resourceowner:id";
