import { hash, randomBytes } from "node:crypto";

/** The prefix of every personal access token. Secret scanners can find a leaked one by it. */
export const tokenPrefix = "portcullis_";

/** A new personal access token: the prefix and 256 random bits. */
export function generateToken(): string {
  return `${tokenPrefix}${randomBytes(32).toString("base64url")}`;
}

/** A new secret or password: 192 random bits, in 32 characters. */
export const generateSecret = (): string => randomBytes(24).toString("base64url");

/**
 * The hex SHA-256 of a token, which is stored in its place. A token has enough random bits to need no salt, and a lookup by
 * digest leaks nothing through timing.
 */
export function digestToken(token: string): string {
  return hash("sha256", token);
}

/** Whether a text can be a token in a header: printable ASCII without space and comma, which joins repeated headers. */
export const isTokenText = (text: string): boolean => /^[\x21-\x2b\x2d-\x7e]+$/.test(text);

/** Whether a text may be the admin's token, which also needs a length that prevents guessing. */
export const isAdminTokenText = (text: string): boolean => isTokenText(text) && text.length >= 32;
