import { Command } from "commander";
import { type PolicyOptions, policySubcommand } from "./options.ts";

const load = () => import("./actions.ts");

/** Commands on login policies. They are clients of a running server, and open no store. */
export function policyCommand(): Command {
  const policy = new Command("policy").description("login policies of a running server");

  policy.addCommand(
    policySubcommand("show", "print a policy").action(async (options: PolicyOptions) => (await load()).show(options)),
  );
  policy.addCommand(
    policySubcommand("set", "change settings and sets: all of them, or none")
      .argument(
        "<path=value...>",
        "such as force_mfa=true or second_factors=SECOND_FACTOR_TYPE_OTP,SECOND_FACTOR_TYPE_U2F",
      )
      .option("--preview", "print what would change, with warnings, and change nothing")
      .action(async (assignments: string[], options: PolicyOptions & { preview?: boolean }) =>
        (await load()).set(assignments, options),
      ),
  );
  policy.addCommand(
    policySubcommand("reset", "let an organization inherit the instance's policy again").action(
      async (options: PolicyOptions) => (await load()).reset(options),
    ),
  );
  policy.addCommand(
    policySubcommand("explain", "print who set each setting and factor, and when").action(
      async (options: PolicyOptions) => (await load()).explain(options),
    ),
  );
  policy.addCommand(
    policySubcommand("history", "list the revisions of a policy, newest first")
      .option("--limit <n>", "how many to print at most, up to 500", Number, 20)
      .action(async (options: PolicyOptions & { limit: number }) => (await load()).history(options)),
  );
  policy.addCommand(
    policySubcommand("rollback", "make an earlier state the present one, as a new revision")
      .argument("<revision>", "as history prints it")
      .action(async (revision: string, options: PolicyOptions) => (await load()).rollback(revision, options)),
  );
  return policy;
}
