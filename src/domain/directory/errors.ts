export type DirectoryErrorCode =
  | "name_invalid"
  | "id_invalid"
  | "id_taken"
  | "name_taken"
  | "organization_missing"
  | "organization_is_default"
  | "user_missing"
  | "owner_last"
  | "role_unknown"
  | "role_scope"
  | "role_held"
  | "role_not_held"
  | "token_missing"
  | "key_missing"
  | "client_missing"
  | "redirect_uri_missing"
  | "redirect_uri_invalid"
  | "not_set_up";

/** An expected refusal of a change to the directory. Nothing was written; the message is a sentence for the operator. */
export class DirectoryError extends Error {
  override readonly name = "DirectoryError";
  readonly code: DirectoryErrorCode;

  constructor(code: DirectoryErrorCode, message: string) {
    super(message);
    this.code = code;
  }
}
