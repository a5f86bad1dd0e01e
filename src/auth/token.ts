import { hash, randomBytes } from "node:crypto";

/** What every personal access token begins with, so that a leaked one can be found. */
export const tokenPrefix = "portcullis_";

/** A new personal access token: 256 random bits behind the prefix. */
export function generateToken(): string {
  return `${tokenPrefix}${randomBytes(32).toString("base64url")}`;
}

/** A new secret or password: random bits enough that nobody guesses it, and short enough to be copied. */
export const generateSecret = (): string => randomBytes(24).toString("base64url");

/**
 * What is kept of a token: its SHA-256 in hex. A token is random and long, so a plain digest cannot be guessed back, and
 * looking it up by digest leaks nothing of the token through timing.
 */
export function digestToken(token: string): string {
  return hash("sha256", token);
}

/** What a header can carry as a token: printable ASCII without space or comma. A comma would join two headers. */
export const isTokenText = (text: string): boolean => /^[\x21-\x2b\x2d-\x7e]+$/.test(text);

/** Whether a text may be the admin's token: also long enough not to be guessed. */
export const isAdminTokenText = (text: string): boolean => isTokenText(text) && text.length >= 32;
