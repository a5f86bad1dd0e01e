import { createHash } from "node:crypto";

/** A whole HTML document, to be sent with `pageHeaders`. */
export interface HtmlPage {
  readonly html: string;
}

export interface SignInOptions {
  /** Receives the form with the fields `username` and `password`. */
  readonly action: string;
  readonly applicationName: string;
  /** The earlier input, or the suggestion of the application. */
  readonly userName?: string | undefined;
  /** Why the last attempt failed, as a sentence. */
  readonly problem?: string | undefined;
}

/** Asks for user name and password, with the focus on the first empty one. A password is never sent back. */
export function signInPage({ action, applicationName, userName = "", problem }: SignInOptions): HtmlPage {
  const failed = problem === undefined ? markup`` : markup` aria-invalid="true" aria-describedby="problem"`;
  const focus = markup` autofocus`;
  return page({
    // Screen readers read the title first.
    title: `${problem === undefined ? "" : "Error: "}Sign in to ${applicationName}`,
    body: markup`<h1>Sign in</h1>
<p>to continue to <strong><bdi>${applicationName}</bdi></strong></p>
${problem === undefined ? markup`` : markup`<p class="problem" id="problem" role="alert">${problem}</p>`}
<form method="post" action="${action}">
<label for="username">User name</label>
<input id="username" name="username" type="text" value="${userName}" autocomplete="username" autocapitalize="none" autocorrect="off" spellcheck="false" required${failed}${userName === "" ? focus : markup``}>
<label for="password">Password</label>
<input id="password" name="password" type="password" autocomplete="current-password" required${failed}${userName === "" ? markup`` : focus}>
<button type="submit">Sign in</button>
</form>`,
  });
}

export interface ConsentOptions {
  /** Receives the form with the field `decision`: `allow` or `cancel`. */
  readonly action: string;
  readonly applicationName: string;
  readonly userName: string;
}

/** Asks whether an application may act for a user while they are away (offline access). */
export function consentPage({ action, applicationName, userName }: ConsentOptions): HtmlPage {
  // No button has the focus: a key still pressed from the last page must not allow anything.
  return page({
    title: `Allow ${applicationName} to stay connected?`,
    body: markup`<h1>Stay connected?</h1>
<p><strong><bdi>${applicationName}</bdi></strong> wants to act for you even while you are not using it.</p>
<p>You are signed in as <strong><bdi>${userName}</bdi></strong>.</p>
<form method="post" action="${action}">
<button type="submit" name="decision" value="allow">Allow</button>
<button type="submit" name="decision" value="cancel" class="second">Cancel</button>
</form>`,
  });
}

/** A page with one message: an error, or that the user is signed out. */
export function messagePage({ title, text }: { readonly title: string; readonly text: string }): HtmlPage {
  return page({ title, body: markup`<h1>${title}</h1>\n<p>${text}</p>` });
}

/**
 * Asks whether to sign out. `form` is trusted HTML: the form of oidc-provider with the id `op.logoutForm`. It reads any value
 * of `logout` as a yes, so the button to stay has no name.
 */
export function signOutPage({ form }: { readonly form: string }): HtmlPage {
  return page({
    title: "Sign out?",
    body: markup`<h1>Sign out?</h1>
${new Markup(form)}
<button type="submit" form="op.logoutForm" name="logout" value="yes">Sign out</button>
<button type="submit" form="op.logoutForm" class="second">Stay signed in</button>`,
  });
}

/**
 * The headers of every page, with names in lower case. `formActions` (see `formActionsOf`) are the targets to which the answer
 * to a form may redirect: Chrome applies form-action to redirects, also to later ones of the application. Throws an Error for
 * one that is no scheme.
 */
export function pageHeaders({
  formActions = [],
}: {
  readonly formActions?: readonly string[];
} = {}): Record<string, string> {
  for (const source of formActions) {
    if (!sourcePattern.test(source)) throw new Error(`"${source}" is not a scheme.`);
  }
  const policy = [
    "default-src 'none'",
    `style-src '${styleHash}'`,
    `form-action ${["'self'", ...new Set(formActions)].join(" ")}`,
    "frame-ancestors 'none'",
    "base-uri 'none'",
  ];
  return {
    "content-type": "text/html; charset=utf-8",
    "content-security-policy": policy.join("; "),
    "x-frame-options": "DENY",
    // Not no-referrer: browsers would send `Origin: null` with the form, as from a page of another site.
    "referrer-policy": "same-origin",
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
    // No cross-origin-opener-policy: an application that opens the sign-in in a popup would lose access to it.
  };
}

// A scheme as a CSP source. It can neither end a directive nor be a keyword.
const sourcePattern = /^[a-z][a-z0-9+.-]*:$/;

// As targets of a form, these would run or show content of the page.
const neverTargets = new Set(["javascript:", "data:", "blob:", "file:", "about:"]);

/**
 * The sources of form-action that let a form redirect to a URI: its scheme, or both http and https for a web page, because the
 * application may redirect further, and browsers check the whole chain. Throws an Error for a URI that is not absolute, or
 * that is never a redirect target.
 */
export function formActionsOf(redirectUri: string): readonly string[] {
  if (!URL.canParse(redirectUri)) throw new Error(`"${redirectUri}" is not an absolute URI.`);
  const { protocol } = new URL(redirectUri);
  if (neverTargets.has(protocol)) throw new Error(`A form cannot lead to a ${protocol} URI.`);
  return protocol === "http:" || protocol === "https:" ? ["https:", "http:"] : [protocol];
}

/** Trusted HTML. */
class Markup {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }
}

/** An HTML template. It escapes values, for text and for quoted attributes, unless they are Markup. */
function markup(strings: TemplateStringsArray, ...values: readonly (string | Markup)[]): Markup {
  return new Markup(
    strings.reduce((text, next, i) => {
      const value = values[i - 1] ?? "";
      return text + (value instanceof Markup ? value.text : escapeHtml(value)) + next;
    }),
  );
}

function escapeHtml(text: string): string {
  return text.replace(/[&<>"'`]/g, (character) => `&#${character.charCodeAt(0)};`);
}

// Contrast is at least 4.5 for text and 3 for borders. Sizes are in rem, so that they follow the reader's font size.
const style = `
:root { color-scheme: light dark; --page: #f3f4f6; --card: #ffffff; --text: #1b1c1f; --border: #6b7280; --accent: #0b57d0; --on-accent: #ffffff; --problem: #b3261e; }
@media (prefers-color-scheme: dark) {
:root { --page: #111215; --card: #1d1f23; --text: #e6e6ea; --border: #8e9099; --accent: #a8c7fa; --on-accent: #062e6f; --problem: #ffb4ab; }
}
*, ::before, ::after { box-sizing: border-box; }
body { margin: 0; padding: 1rem; background: var(--page); color: var(--text); font: 1rem/1.5 system-ui, sans-serif; }
main { max-width: 24rem; margin: 8vh auto 0; padding: 1.5rem; border-radius: 0.75rem; background: var(--card); overflow-wrap: anywhere; }
h1 { margin: 0 0 0.5rem; font-size: 1.5rem; line-height: 1.25; }
p { margin: 0 0 1rem; }
label { display: block; margin: 0 0 0.25rem; font-weight: 600; }
input, button { width: 100%; min-height: 2.75rem; padding: 0.5rem 0.75rem; border: 1px solid var(--border); border-radius: 0.375rem; font: inherit; }
input { margin: 0 0 1rem; background: var(--card); color: var(--text); }
input[aria-invalid] { border: 2px solid var(--problem); }
button { margin: 0.5rem 0 0; border-color: var(--accent); background: var(--accent); color: var(--on-accent); font-weight: 600; cursor: pointer; }
button.second { background: var(--card); color: var(--accent); }
:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; }
.problem { padding: 0 0 0 0.75rem; border-left: 4px solid var(--problem); color: var(--problem); }
`;

const styleHash = `sha256-${createHash("sha256").update(style).digest("base64")}`;

function page({ title, body }: { readonly title: string; readonly body: Markup }): HtmlPage {
  const { text } = markup`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${title}</title>
<style>${new Markup(style)}</style>
</head>
<body>
<main>
${body}
</main>
</body>
</html>
`;
  return { html: text };
}
