import { Command } from "commander";
import { renderDocument } from "../documents.ts";

export function openapiCommand(): Command {
  return new Command("openapi")
    .description("print the OpenAPI 3.1 document of the REST API, as a server has it at /openapi.json")
    .option("--yaml", "as YAML")
    .action(async ({ yaml }: { readonly yaml?: boolean }) => {
      process.stdout.write(await renderDocument(yaml ? "yaml" : "json"));
    });
}
