import { randomBytes, scrypt, timingSafeEqual } from "node:crypto";

/** Parameters of scrypt. N is 2 to the power of `ln`. It uses 128·N·r bytes. */
interface ScryptCost {
  readonly ln: number;
  readonly r: number;
  readonly p: number;
}

interface ScryptKey extends ScryptCost {
  readonly salt: Buffer;
  readonly key: Buffer;
}

const cost: ScryptCost = { ln: 15, r: 8, p: 3 };
const saltBytes = 16;
const keyBytes = 32;

const minCharacters = 12;
/** In UTF-8. A longer password only costs time. */
const maxBytes = 1024;

// Of the four threads of libuv. Files and DNS lookups need the others.
const maxRunning = 2;
// The last in the queue waits some five seconds, about as long as a person is patient.
const maxWaiting = 64;
/** Places in the queue that are reserved for familiar addresses, so that strangers cannot fill it. */
const keptPlaces = 16;

/** The queue of password hashes is full. */
export class PasswordBusyError extends Error {
  override readonly name = "PasswordBusyError";

  constructor() {
    super("Too many passwords are being checked; try again in a few seconds.");
  }
}

/**
 * Why a new password is refused; undefined for a valid one: at least 12 characters, at most 1024 bytes, no control characters.
 * It requires no kinds of characters (NIST SP 800-63B): length makes a password strong, rules make it predictable.
 */
export function checkNewPassword(password: string): string | undefined {
  if (isTooLong(password)) return `The password is longer than ${maxBytes} bytes.`;
  // The smaller count: a letter with combining marks is one character, and so is a ligature.
  const characters = Math.min(countCodePoints(password), countCodePoints(normalize(password)));
  if (characters < minCharacters) return `The password needs at least ${minCharacters} characters.`;
  // Such as the line break of a file. A sign-in page cannot send it.
  if (/\p{Cc}/u.test(password)) return "The password contains a control character, such as a line break.";
  return undefined;
}

/**
 * Hashes a password with scrypt (N = 2^15, r = 8, p = 3, a new salt of 16 bytes) and returns a PHC string:
 * `$scrypt$ln=15,r=8,p=3$salt$key`, base64 without padding.
 *
 * Of the equivalent costs in OWASP's Password Storage Cheat Sheet, this one takes more time and 32 MiB instead of 128, so that
 * two at once fit into a small container.
 *
 * Rejects with a PasswordBusyError if 2 hashes are running and 64 wait, and with a RangeError for a password of more than 1024
 * bytes, which could never be verified.
 */
export async function hashPassword(password: string): Promise<string> {
  if (isTooLong(password)) throw new RangeError(`a password of more than ${maxBytes} bytes`);
  const salt = randomBytes(saltBytes);
  const key = await derive(password, { ...cost, salt, length: keyBytes, places: maxWaiting });
  return `$scrypt$ln=${cost.ln},r=${cost.r},p=${cost.p}$${toBase64(salt)}$${toBase64(key)}`;
}

/**
 * Whether a password matches a hash. Without a hash (an unknown user, or one without a password), and for a damaged one, the
 * result is false after the same work, so that timing does not reveal which users exist. Rejects with a PasswordBusyError like
 * `hashPassword`; a stranger leaves 16 of the waiting places free.
 */
export async function verifyPassword(
  password: string,
  hash: string | undefined,
  { isStranger = false }: { readonly isStranger?: boolean } = {},
): Promise<boolean> {
  // No valid password is so long, so this reveals nothing about the user.
  if (isTooLong(password)) return false;
  const wanted = hash === undefined ? undefined : parseHash(hash);
  const compared = wanted ?? dummy;
  const places = isStranger ? maxWaiting - keptPlaces : maxWaiting;
  const key = await derive(password, { ...compared, length: compared.key.length, places });
  return timingSafeEqual(key, compared.key) && wanted !== undefined;
}

const dummy: ScryptKey = { ...cost, salt: Buffer.alloc(saltBytes), key: Buffer.alloc(keyBytes) };

// In base64, 22 characters are 16 bytes, 43 are 32, and 86 are 64.
const phcPattern =
  /^\$scrypt\$ln=([1-9]\d?),r=([1-9]\d?),p=([1-9]\d?)\$([A-Za-z0-9+/]{22,86})\$([A-Za-z0-9+/]{43,86})$/;

/** Parses a PHC string; undefined for a damaged one, or for costs beyond those of a sign-in. */
function parseHash(hash: string): ScryptKey | undefined {
  const [, ln, r, p, salt, key] = phcPattern.exec(hash) ?? [];
  if (salt === undefined || key === undefined) return undefined;
  const parsed = { ln: Number(ln), r: Number(r), p: Number(p), salt: fromBase64(salt), key: fromBase64(key) };
  const isAffordable = parsed.ln <= 20 && parsed.r <= 32 && parsed.p <= 16 && memoryOf(parsed) <= 128 * 1024 ** 2;
  // RFC 7914, section 6: N is below 2^(16·r).
  return isAffordable && parsed.ln < 16 * parsed.r ? parsed : undefined;
}

const memoryOf = ({ ln, r }: ScryptCost): number => 128 * 2 ** ln * r;

async function derive(
  password: string,
  options: ScryptCost & { readonly salt: Buffer; readonly length: number; readonly places: number },
): Promise<Buffer> {
  const { ln, r, p, salt, length, places } = options;
  // OpenSSL also counts its work space: two blocks, and one for each lane. The default of Node is 32 MiB.
  const maxmem = memoryOf(options) + 128 * r * (p + 2);
  await takePlace(places);
  try {
    return await new Promise((resolve, reject) => {
      scrypt(normalize(password), salt, length, { N: 2 ** ln, r, p, maxmem }, (error, key) => {
        if (error === null) resolve(key);
        else reject(error);
      });
    });
  } finally {
    leavePlace();
  }
}

// Global, because the limit protects the memory of the process.
let running = 0;
const waiting: (() => void)[] = [];

/** Waits for a turn. Rejects with a PasswordBusyError if `places` others wait already. */
async function takePlace(places: number): Promise<void> {
  if (running < maxRunning) {
    running += 1;
    return;
  }
  if (waiting.length >= places) throw new PasswordBusyError();
  await new Promise<void>((resolve) => waiting.push(resolve));
}

function leavePlace(): void {
  const next = waiting.shift();
  // Passes the place on directly, so that a later call cannot take it.
  if (next === undefined) running -= 1;
  else next();
}

/** One form for equal text: keyboards compose letters in different ways (NIST SP 800-63B). */
const normalize = (password: string): string => password.normalize("NFKC");

const isTooLong = (password: string): boolean => Buffer.byteLength(password) > maxBytes;

const countCodePoints = (text: string): number => [...text].length;

const toBase64 = (bytes: Buffer): string => bytes.toString("base64").replace(/=+$/, "");

const fromBase64 = (text: string): Buffer => Buffer.from(text, "base64");
