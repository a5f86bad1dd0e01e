import { Command, Option } from "commander";
import { ConfigError } from "../config.ts";
import { loadDocument } from "../web/load-document.ts";

export function openapiCommand(): Command {
  return new Command("openapi")
    .description("print the OpenAPI 3.1 document of the REST API; a server serves it at /openapi.json")
    .option("--yaml", "print YAML")
    .addOption(
      new Option(
        "--issuer [url]",
        "describe a server with the built-in OpenID issuer, as with `serve --issuer` or `serve --dev`",
      ).env("PORTCULLIS_ISSUER"),
    )
    .action(async ({ yaml, issuer }: { readonly yaml?: boolean; readonly issuer?: string | true }) => {
      const document = await loadDocument(issuer === undefined ? {} : { issuer: readIssuer(issuer) });
      // Loaded here alone: with it comes all of the package, which no other command needs.
      const { renderOpenApi } = await import("@portcullis/rpc");
      process.stdout.write(renderOpenApi(document, yaml ? "yaml" : "json"));
    });
}

function readIssuer(text: string | true): { readonly url?: string } {
  if (text === true || text === "true") return {};
  if (URL.canParse(text) && new URL(text).origin === text) return { url: text };
  throw new ConfigError(`--issuer must be an origin, such as https://login.example, not "${text}"`);
}
