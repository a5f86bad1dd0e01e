import { DirectoryError } from "./errors.ts";

/**
 * Checks the name of an organization, a user or a client; letter case counts. Throws a DirectoryError `name_invalid`.
 */
export function checkName(name: string): void {
  if (name === "" || [...name].length > 200 || name.trim() !== name || /\p{Cc}|\p{Cs}/u.test(name)) {
    throw new DirectoryError(
      "name_invalid",
      "a name has 1 to 200 characters, no control characters, and no space at its start or end",
    );
  }
}
