import { create, type DescField, type DescMessage, type Message } from "@bufbuild/protobuf";
import { type ReflectMessage, reflect } from "@bufbuild/protobuf/reflect";
import { messageOf } from "./fields.ts";
import type { Route } from "./route-table.ts";

// google.api.HttpBody: bytes of any media type, which go over HTTP as they are.

export const isHttpBody = (desc: DescMessage | undefined): boolean => desc?.typeName === "google.api.HttpBody";

/** Whether the request body of a route is raw. */
export const isRawBody = (body: "whole" | DescField, input: DescMessage): boolean =>
  isHttpBody(body === "whole" ? input : body.fieldKind === "message" ? messageOf(body) : undefined);

/** Puts the request body into the message that is an HttpBody, or into its field that is one. */
export function setRawBody(
  message: ReflectMessage,
  body: "whole" | DescField,
  sent: { readonly contentType: string; readonly data: Uint8Array },
): void {
  let target = message;
  if (body !== "whole") {
    message.set(body, reflect(messageOf(body) as DescMessage));
    target = message.get(body) as ReflectMessage;
  }
  target.set(target.desc.field["contentType"] as DescField, sent.contentType);
  target.set(target.desc.field["data"] as DescField, sent.data);
}

/** What an HttpBody sends, without a content type that no header could carry. */
export function rawAnswer(message: Message): { readonly contentType: string; readonly data: Uint8Array } {
  const { contentType, data } = message as Message & { readonly contentType: string; readonly data: Uint8Array };
  const isSendable = /^[\w!#$&^.+-]+\/[\w!#$&^.+-]+[\t\x20-\x7e]*$/.test(contentType);
  return { contentType: isSendable ? contentType : "application/octet-stream", data };
}

const rawDesc = ({ rpc, responseBody }: Route): DescMessage | undefined => {
  if (responseBody === undefined) return rpc.spec.method.output;
  return responseBody.fieldKind === "message" ? responseBody.message : undefined;
};

/** Whether the answer of a route is raw. */
export const isRawAnswer = (route: Route): boolean => isHttpBody(rawDesc(route));

/** The HttpBody of an answer: the whole, or the field that is the response body. */
export function rawPart(answer: Message, route: Route): Message {
  const desc = rawDesc(route);
  if (route.responseBody === undefined || desc === undefined) return answer;
  const fields = reflect(route.rpc.spec.method.output, answer);
  return fields.isSet(route.responseBody) ? (fields.get(route.responseBody) as ReflectMessage).message : create(desc);
}
