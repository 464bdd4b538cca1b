import { en } from './words.en.ts';
import { tr } from './words.tr.ts';

/** What stands over a case, and what it says. `{name}` is filled in. */
export interface Saying {
  readonly heading: string;
  readonly text: string;
}

export type Pair = readonly [done: string, open: string];

/** Every word of the page in one language. Short plain sentences; nothing is promised that is not known. */
export interface Words {
  /** Of the page in previews and tabs: neither box nor place. */
  readonly title: string;
  readonly languages: string;

  readonly ready: { readonly once: string; readonly uses: string; readonly until: string; readonly soon: string; readonly box: string };
  readonly form: {
    readonly legend: string;
    readonly optional: string;
    readonly required: string;
    readonly name: string;
    readonly company: string;
    readonly number: string;
    readonly more: string;
    readonly phone: string;
    readonly note: string;
    readonly remember: string;
    readonly invalid: string;
    readonly missing: string;
  };
  readonly buttons: {
    readonly open: string;
    readonly again: string;
    readonly check: string;
    readonly anyway: string;
    readonly not: string;
    readonly another: string;
    readonly reload: string;
  };

  readonly asking: Saying;
  readonly opening: Saying;
  readonly open: Saying;
  readonly doorOpen: Saying;
  readonly delivered: Saying;
  readonly earlier: Saying;

  readonly unknownToken: Saying;
  readonly expired: Saying;
  readonly used: Saying;
  readonly cancelled: Saying;
  readonly cancelledUndated: Saying;
  readonly notYet: Saying;
  readonly outsideHours: Saying;
  readonly busy: Saying;
  readonly offline: Saying;
  readonly notOpened: Saying;
  readonly unsure: Saying;
  readonly jammed: Saying;
  readonly parcelInside: Saying;
  readonly battery: Saying;
  readonly maintenance: Saying;
  readonly gone: Saying;
  readonly identity: Saying;
  readonly identityOne: Saying;
  readonly tooMany: Saying;
  readonly fault: Saying;
  readonly noLink: Saying;

  /** Said by the phone itself: it has no server at that moment. */
  readonly phoneOffline: Saying;
  readonly phoneLost: Saying;
  readonly slow: Saying;
  readonly old: Saying;

  readonly notUsedUp: string;
  readonly usedUp: string;
  readonly checksAgain: string;
  readonly days: string;
  readonly asides: {
    readonly doorDidNotOpen: string;
    readonly doorDidNotOpenText: string;
    readonly itIsOpen: string;
    readonly itIsOpenText: string;
    readonly itIsClosed: string;
    readonly itIsClosedText: string;
  };
  readonly steps: {
    readonly title: string;
    readonly asked: string;
    /** Done, and not done. */
    readonly took: Pair;
    readonly moved: Pair;
    readonly closed: Pair;
    readonly done: string;
    readonly now: string;
    readonly next: string;
    readonly failed: string;
    readonly unsure: string;
  };
  readonly receipt: {
    readonly show: string;
    readonly title: string;
    readonly box: string;
    readonly opened: string;
    readonly closed: string;
    readonly notClosed: string;
    readonly reference: string;
  };
  readonly help: { readonly title: string; readonly lines: readonly string[] };
}

export const catalogues = { en, tr } as const satisfies Readonly<Record<string, Words>>;
export type Language = keyof typeof catalogues;
export const languages: readonly { readonly code: Language; readonly name: string }[] = [
  { code: 'en', name: 'English' },
  { code: 'tr', name: 'Türkçe' },
];

export const isLanguage = (code: string | null | undefined): code is Language => code != null && Object.hasOwn(catalogues, code);

/** The best of what a browser asks for; English where it asks for nothing that is here. */
export function preferredLanguage(acceptLanguage: string | undefined): Language {
  let best: { readonly code: Language; readonly quality: number } = { code: 'en', quality: 0 };
  for (const part of (acceptLanguage ?? '').slice(0, 500).split(',')) {
    const [range = '', ...parameters] = part.split(';').map((each) => each.trim().toLowerCase());
    const code = range.split('-')[0];
    const given = parameters.find((each) => each.startsWith('q='));
    const quality = given === undefined ? 1 : Number(given.slice(2));
    if (isLanguage(code) && quality > best.quality && quality <= 1) best = { code, quality };
  }
  return best.code;
}
