// The cases of gRPC's interoperability clients. Written out, so that one that gets lost is noticed: with those that are left out
// they have to be all that a client says it has.

export const casesOfBoth = [
  "empty_unary",
  "large_unary",
  "client_streaming",
  "server_streaming",
  "ping_pong",
  "empty_stream",
  "timeout_on_sleeping_server",
  "cancel_after_begin",
  "cancel_after_first_response",
  "status_code_and_message",
  "special_status_message",
  "custom_metadata",
  "unimplemented_method",
  "unimplemented_service",
  "rpc_soak",
  "channel_soak",
] as const;

export const casesOfJava = [
  "client_compressed_unary",
  "client_compressed_unary_noprobe",
  "server_compressed_unary",
  "client_compressed_streaming",
  "client_compressed_streaming_noprobe",
  "server_compressed_streaming",
  "very_large_request",
] as const;

const cloud = "needs credentials of Google Cloud, from its metadata server or accounts";
const reports = "needs the load reports of xDS (ORCA)";

/** With the reasons. */
export const leftOutOfBoth = {
  compute_engine_creds: cloud,
  compute_engine_channel_credentials: cloud,
  service_account_creds: cloud,
  jwt_token_creds: cloud,
  per_rpc_creds: cloud,
  oauth2_auth_token: cloud,
  google_default_credentials: cloud,
  pick_first_unary: "needs several servers behind one name, which tell their ids",
  orca_per_rpc: reports,
  orca_oob: reports,
} as const;

export const leftOutOfJava = {
  cacheable_unary: "needs a proxy that keeps answers to GET",
} as const;
