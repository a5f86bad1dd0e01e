import type { DescField, Message } from "@bufbuild/protobuf";
import { Code, ConnectError, type ContextValues, type Interceptor } from "@connectrpc/connect";
import { BadRequestSchema } from "../../gen/google/rpc/error_details_pb.ts";
import { accessKey, authorize, identityKey } from "../auth/access.ts";
import type { PermissionTable, ResourceRule } from "../auth/permissions.ts";
import { type PolicyName, parsePolicyName } from "../auth/resource.ts";
import type { Store } from "../store/store.ts";

/**
 * Checks the permission on the resource that a request names, as soon as it is decoded and before anything else of it is looked
 * at. Sets the call's access. Rejects with an AuthError, and with invalid_argument for what is no name.
 */
export function authorizeResource(store: Store, permissions: PermissionTable): Interceptor {
  async function check(rule: ResourceRule, message: Message, values: ContextValues): Promise<void> {
    const identity = values.get(identityKey);
    if (identity === undefined) throw new Error("a call came here without its caller");
    const name = rule.field.length === 0 ? undefined : nameIn(message, rule.field);
    values.set(accessKey, await authorize(store, identity, { name, rule }));
  }

  async function* checkEach(rule: ResourceRule, messages: AsyncIterable<Message>, values: ContextValues) {
    for await (const message of messages) {
      await check(rule, message, values);
      yield message;
    }
  }

  return (next) => (request) => {
    const { method, message, contextValues } = request;
    const rule = permissions.get(method);
    if (typeof rule !== "object") return next(request);
    if (request.stream) return next({ ...request, message: checkEach(rule, request.message, contextValues) });
    return check(rule, message as Message, contextValues).then(() => next(request));
  };
}

function nameIn(message: Message, field: readonly DescField[]): PolicyName {
  let value: unknown = message;
  for (const { localName } of field) value = (value as Record<string, unknown> | undefined)?.[localName];
  const text = String(value ?? "");
  const name = parsePolicyName(text);
  if (name !== undefined) return name;
  const path = field.map((one) => one.name).join(".");
  const policy = "instance/loginPolicy or organizations/{organization}/loginPolicy";
  const wanted = text.includes("/revisions") ? `${policy} with /revisions/ and a number from 1 after it` : policy;
  throw new ConnectError(`${path} must be ${wanted}`, Code.InvalidArgument, undefined, [
    { desc: BadRequestSchema, value: { fieldViolations: [{ field: path, description: `send ${wanted}` }] } },
  ]);
}
