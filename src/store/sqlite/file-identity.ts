import { statSync } from "node:fs";

/** Tells a file from another that took its place. */
export interface FileIdentity {
  readonly device: bigint;
  readonly inode: bigint;
}

export function identify(path: string): FileIdentity {
  const { dev: device, ino: inode } = statSync(path, { bigint: true });
  return { device, inode };
}

/** Throws ENOENT where the path is now another file: an open connection would go on with the old one. */
export function refuseReplaced(path: string, identity: FileIdentity): void {
  const { device, inode } = identify(path);
  if (device === identity.device && inode === identity.inode) return;
  throw Object.assign(new Error("the file was replaced"), { code: "ENOENT" });
}
