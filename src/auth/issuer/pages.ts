import { createHash } from "node:crypto";

/** A whole HTML document, to be sent with `pageHeaders`. */
export interface HtmlPage {
  readonly html: string;
}

export interface SignInOptions {
  /** Where the form is posted, with the fields `username` and `password`. */
  readonly action: string;
  readonly applicationName: string;
  /** What was typed before, or what the application suggests. */
  readonly userName?: string | undefined;
  /** A sentence why the attempt before failed. */
  readonly problem?: string | undefined;
}

/** Asks for a user name and a password. The focus is on the first of the two that is empty; a password is never shown again. */
export function signInPage({ action, applicationName, userName = "", problem }: SignInOptions): HtmlPage {
  const failed = problem === undefined ? markup`` : markup` aria-invalid="true" aria-describedby="problem"`;
  const focus = markup` autofocus`;
  return page({
    // Screen readers say the title first.
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
  /** Where the form is posted, with the field `decision`, which is `allow` or `cancel`. */
  readonly action: string;
  readonly applicationName: string;
  readonly userName: string;
}

/** Asks whether an application may act for a user who is away (offline access). */
export function consentPage({ action, applicationName, userName }: ConsentOptions): HtmlPage {
  // No button has the focus: a key pressed too long on the page before must not allow anything.
  return page({
    title: `Allow ${applicationName} to stay connected?`,
    body: markup`<h1>Stay connected?</h1>
<p><strong><bdi>${applicationName}</bdi></strong> wants to act for you also while you are not using it.</p>
<p>You are signed in as <strong><bdi>${userName}</bdi></strong>.</p>
<form method="post" action="${action}">
<button type="submit" name="decision" value="allow">Allow</button>
<button type="submit" name="decision" value="cancel" class="second">Cancel</button>
</form>`,
  });
}

/** Says one thing: an error, or that the user is signed out. */
export function messagePage({ title, text }: { readonly title: string; readonly text: string }): HtmlPage {
  return page({ title, body: markup`<h1>${title}</h1>\n<p>${text}</p>` });
}

/**
 * Asks whether to sign out. `form` is trusted HTML, put in as it is: oidc-provider's form with the id `op.logoutForm`, which
 * takes any value of `logout` for a yes, so the button that stays has no name.
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
 * The headers that every page needs, names in lower case. `formActions` (of `formActionsOf`) are where the answer to a posted
 * form may redirect: Chrome applies form-action to redirects too, and to the further ones that the application makes. Throws
 * an Error for one that is no scheme.
 */
export function pageHeaders({
  formActions = [],
}: {
  readonly formActions?: readonly string[];
} = {}): Record<string, string> {
  for (const source of formActions) {
    if (!sourcePattern.test(source)) throw new Error(`"${source}" is no scheme.`);
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
    // Not no-referrer: browsers then send `Origin: null` with the form, and nothing could tell it from a foreign page's.
    "referrer-policy": "same-origin",
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
    // No cross-origin-opener-policy: an application that opens the sign-in in a popup would lose the popup for good.
  };
}

// What a source of CSP may be here: nothing in it ends a directive or is a keyword.
const sourcePattern = /^[a-z][a-z0-9+.-]*:$/;

// As targets of a form they would run or show what the page says.
const neverTargets = new Set(["javascript:", "data:", "blob:", "file:", "about:"]);

/**
 * What form-action has to name so that a form's answer may redirect to a URI: its scheme, and for a page of the web both of
 * the web's, because the application may send the browser on to another place, and the browser holds the whole chain against
 * the list. Throws an Error for what is no absolute URI, or could never be redirected to.
 */
export function formActionsOf(redirectUri: string): readonly string[] {
  if (!URL.canParse(redirectUri)) throw new Error(`"${redirectUri}" is not an absolute URI.`);
  const { protocol } = new URL(redirectUri);
  if (neverTargets.has(protocol)) throw new Error(`A form cannot lead to a ${protocol} URI.`);
  return protocol === "http:" || protocol === "https:" ? ["https:", "http:"] : [protocol];
}

/** HTML that may be put into a page as it is. */
class Markup {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }
}

/** A template of HTML. What is put into it is escaped, in text and in quoted attributes alike, unless it is Markup. */
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

// Contrasts are at least 4.5 for text and 3 for borders; sizes are in rem, so that they grow with the reader's own.
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
