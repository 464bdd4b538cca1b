import type { Language } from './kinds.ts';
import { frames, type Said } from './words.ts';

export interface MailContent {
  readonly subject: string;
  readonly text: string;
  readonly html: string;
}

export interface MailFrame {
  readonly language: Language;
  /** First name of whom it goes to. */
  readonly name: string | undefined;
  /** Where the button leads. */
  readonly url: string;
}

/** Messages in one digest; the rest is in the app. */
export const DIGEST_SHOWN = 20;

export function notificationMail(said: Said, frame: MailFrame): MailContent {
  return compose(said.title, [{ ...said, title: undefined }], undefined, frame);
}

export function digestMail(all: readonly Said[], frame: MailFrame): MailContent {
  const shown = all.slice(0, DIGEST_SHOWN);
  const { digestTitle, digestText } = frames[frame.language];
  return compose(digestTitle(all.length), shown, digestText(all.length, shown.length), frame);
}

interface Paragraph {
  readonly title: string | undefined;
  readonly text: string;
}

function compose(title: string, paragraphs: readonly Paragraph[], intro: string | undefined, { language, name, url }: MailFrame): MailContent {
  const { hello, open, why } = frames[language];
  const subject = oneLine(title);
  const blocks = paragraphs.map((each) => (each.title === undefined ? each.text : `${each.title}\n${each.text}`));
  const text = [hello(name), ...(intro === undefined ? [] : [intro]), ...blocks, `${open}: ${url}`, `-- \n${why}`].join('\n\n');
  const body = paragraphs.map((each) => `${each.title === undefined ? '' : `<h2>${escape(each.title)}</h2>`}<p>${escape(each.text)}</p>`).join('\n');
  const html = `<!DOCTYPE html>
<html lang="${language}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="supported-color-schemes" content="light dark">
<title>${escape(subject)}</title>
<style>${STYLE}</style>
</head>
<body>
<div class="page" role="article" aria-label="${escape(subject)}">
<p class="brand">Loqey</p>
<h1>${escape(subject)}</h1>
<p>${escape(hello(name))}</p>
${intro === undefined ? '' : `<p>${escape(intro)}</p>\n`}${body}
<p><a class="button" href="${escape(url)}">${escape(open)}</a></p>
<p class="why">${escape(why)}</p>
</div>
</body>
</html>
`;
  return { subject, text: `${text}\n`, html };
}

/** Colours with a contrast of 4.5 and more in both schemes. Nothing is loaded from anywhere. */
const STYLE = `
:root { color-scheme: light dark; }
body { margin: 0; background: #f3f4f6; color: #16191d; font: 16px/1.5 -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
.page { max-width: 560px; margin: 0 auto; padding: 32px 24px; background: #ffffff; overflow-wrap: anywhere; }
.brand { margin: 0 0 24px; font-weight: 700; letter-spacing: .04em; color: #0b5d4e; }
h1 { margin: 0 0 16px; font-size: 22px; line-height: 1.3; }
h2 { margin: 24px 0 4px; font-size: 16px; }
p { margin: 0 0 16px; }
.button { display: inline-block; padding: 12px 20px; border-radius: 8px; background: #0b5d4e; color: #ffffff; font-weight: 600; text-decoration: none; }
.why { margin: 32px 0 0; padding-top: 16px; border-top: 1px solid #d5d9de; font-size: 13px; color: #555d66; }
@media (prefers-color-scheme: dark) {
body { background: #101215; color: #eceff2; }
.page { background: #1a1d21; }
.brand { color: #5fd6bd; }
.button { background: #5fd6bd; color: #08231d; }
.why { border-color: #3a4047; color: #a5adb6; }
}
`;

const entities: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' };

export function escape(text: string): string {
  return text.replace(/[&<>"']/g, (sign) => entities[sign] ?? sign);
}

/** A line break in a name must not begin another header. */
function oneLine(text: string): string {
  return text.replace(/\s+/g, ' ').trim();
}
