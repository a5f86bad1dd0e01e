/** The steps of the script, in its order. "metadata" is told by the line of "add". */
export const stepNames = [
  "list",
  "add",
  "metadata",
  "add again",
  "remove",
  "get policy",
  "wrong token",
  "other organization",
  "deadline",
  "gzip",
] as const;
export type StepName = (typeof stepNames)[number];
