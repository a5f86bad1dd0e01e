import type { IncomingMessage, ServerResponse } from "node:http";
import { errors, type Provider } from "oidc-provider";
import type { UniqueKey, UserState } from "../../domain/states.ts";
import { type Store, userRef } from "../../store/store.ts";
import {
  consentPage,
  formActionsOf,
  type HtmlPage,
  messagePage,
  pageHeaders,
  type SignInOptions,
  signInPage,
} from "./pages.ts";
import { PasswordBusyError, verifyPassword } from "./password.ts";
import { signInPath } from "./paths.ts";
import type { Throttle } from "./throttle.ts";

type Interaction = Awaited<ReturnType<Provider["interactionDetails"]>>;

export interface SignInRequest {
  readonly provider: Provider;
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly path: string;
  readonly form: URLSearchParams;
  /** The address of the client, for the throttle. */
  readonly address: string;
}

/** The pages for sign-in, and for consent to offline access. */
export function createSignIn(options: { readonly store: Store; readonly url: string; readonly throttle: Throttle }) {
  const { store, url, throttle } = options;

  return async function serveSignIn(call: SignInRequest): Promise<void> {
    const { provider, request, response, path, form } = call;
    const interaction = await findInteraction(call);
    if (interaction === undefined) {
      return show(
        response,
        messagePage({
          title: "This sign-in has ended",
          text: "It took too long, is already finished, or your browser blocks cookies. Go back to the application and start again.",
        }),
        { status: 400 },
      );
    }
    if (request.method === "POST" && !isFromHere(request)) {
      return show(
        response,
        messagePage({
          title: "Not accepted",
          text: `The form came from another site. Sign in only at ${url}.`,
        }),
        { status: 403 },
      );
    }
    const look = await lookOf(provider, interaction, path);
    if (interaction.prompt.name === "login") {
      if (request.method === "POST") return signIn(call, look);
      return show(response, signInPage({ ...look.page, userName: hintOf(interaction) }), look);
    }
    if (request.method === "GET") {
      const userName = await nameOf(interaction.session?.accountId);
      return show(response, consentPage({ ...look.page, userName }), look);
    }
    const result =
      form.get("decision") === "allow"
        ? { consent: {} }
        : { error: "access_denied", error_description: "the user did not agree" };
    await provider.interactionFinished(request, response, result, { mergeWithLastSubmission: true });
  };

  /** Whether the form is from this site. A page of another site can send one too. */
  function isFromHere({ headers }: IncomingMessage): boolean {
    const site = headers["sec-fetch-site"];
    return (headers.origin === undefined || headers.origin === url) && (site === undefined || site === "same-origin");
  }

  async function signIn({ provider, request, response, form, address }: SignInRequest, look: Look): Promise<void> {
    const userName = form.get("username") ?? "";
    const attempt = { address, user: userName };
    const { retryAfterMs, isFamiliar } = throttle.take(attempt);
    if (retryAfterMs > 0) {
      const seconds = Math.ceil(retryAfterMs / 1000);
      response.setHeader("retry-after", String(seconds));
      const problem = `Too many attempts. Try again in ${seconds} seconds.`;
      return show(response, signInPage({ ...look.page, userName, problem }), { ...look, status: 429 });
    }
    try {
      const checked = await checkPassword({ userName, password: form.get("password") ?? "", isStranger: !isFamiliar });
      if (checked === undefined) {
        const problem = "The user name or the password is wrong.";
        return show(response, signInPage({ ...look.page, userName, problem }), { ...look, status: 401 });
      }
      throttle.succeeded(attempt);
      await provider.interactionFinished(
        request,
        response,
        { login: { ...checked, remember: false, amr: ["pwd"] } },
        { mergeWithLastSubmission: false },
      );
    } catch (error) {
      if (!(error instanceof PasswordBusyError)) throw error;
      response.setHeader("retry-after", "1");
      const problem = "Too many people are signing in. Try again in a moment.";
      show(response, signInPage({ ...look.page, userName, problem }), { ...look, status: 503 });
    }
  }

  /** The user with this name and password, and when the password was set; undefined if they do not match. */
  async function checkPassword(given: {
    readonly userName: string;
    readonly password: string;
    readonly isStranger: boolean;
  }) {
    const { userName, password, isStranger } = given;
    const key: UniqueKey = { kind: "user_name", value: userName };
    const found = userName.isWellFormed() ? (await store.read([key])).find(key) : undefined;
    const held = (found?.state as UserState | undefined)?.password;
    const isRight = await verifyPassword(password, held?.hash, { isStranger });
    if (!isRight || found === undefined || held === undefined) return undefined;
    return { accountId: found.ref.id, passwordSetAt: held.setAt };
  }

  async function nameOf(accountId: string | undefined): Promise<string> {
    const ref = userRef(accountId ?? "");
    return (await store.read([ref])).get(ref).state?.name ?? "";
  }
}

/** The sign-in in progress, if the browser's cookie and the path agree on it. */
async function findInteraction({ provider, request, response, path }: SignInRequest): Promise<Interaction | undefined> {
  try {
    const interaction = await provider.interactionDetails(request, response);
    return path === `${signInPath}${interaction.uid}` ? interaction : undefined;
  } catch (error) {
    if (error instanceof errors.SessionNotFound) return undefined;
    throw error;
  }
}

interface Look {
  readonly page: Pick<SignInOptions, "action" | "applicationName">;
  readonly formActions: readonly string[];
}

async function lookOf(provider: Provider, { params }: Interaction, path: string): Promise<Look> {
  const client = await provider.Client.find(String(params["client_id"]));
  const redirectUri = params["redirect_uri"];
  return {
    page: { action: path, applicationName: client?.clientName ?? String(params["client_id"]) },
    formActions: typeof redirectUri === "string" ? formActionsOf(redirectUri) : [],
  };
}

function hintOf({ params }: Interaction): string {
  const hint = params["login_hint"];
  return typeof hint === "string" ? hint.slice(0, 200) : "";
}

function show(
  response: ServerResponse,
  { html }: HtmlPage,
  { status = 200, formActions = [] }: { readonly status?: number; readonly formActions?: readonly string[] } = {},
): void {
  response.writeHead(status, { ...pageHeaders({ formActions }), "content-length": Buffer.byteLength(html) });
  response.end(html);
}
