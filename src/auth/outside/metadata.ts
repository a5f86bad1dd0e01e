import {
  type AuthorizationServer,
  allowInsecureRequests,
  customFetch,
  discoveryRequest,
  processDiscoveryResponse,
} from "oauth4webapi";
import type { Clock } from "../../store/store.ts";
import { type CachedDocument, createCachedDocument } from "./cached-document.ts";
import { describeFailure, IssuerError } from "./issuer-error.ts";
import { createIssuerFetch } from "./issuer-fetch.ts";

export type Metadata = CachedDocument<AuthorizationServer>;

const maxBytes = 1024 * 1024;

/** The discovery document of an issuer. */
export function createMetadata(options: {
  readonly url: string;
  readonly clock: Clock;
  readonly report: (reason: unknown) => void;
}): Metadata {
  const { url, clock, report } = options;
  const load = async (): Promise<AuthorizationServer> => {
    try {
      const identifier = new URL(url);
      const response = await discoveryRequest(identifier, {
        [customFetch]: createIssuerFetch({ issuer: url, maxBytes }),
        // Our own fetch checks this.
        [allowInsecureRequests]: true,
      });
      const metadata = await processDiscoveryResponse(identifier, response);
      // oauth4webapi compares normalized URLs, but the issuer of a token is compared exactly.
      if (metadata.issuer !== url) throw new IssuerError("its discovery document names another issuer");
      return metadata;
    } catch (error) {
      report(describeFailure(error, { url, wanted: "its discovery document" }));
      throw error;
    }
  };
  return createCachedDocument({ load, clock });
}
