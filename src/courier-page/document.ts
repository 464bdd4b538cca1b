import type { Assets } from './assets.ts';
import { html, raw, type Html, type Part } from './html.ts';
import { icon, type Icon } from './icons.ts';
import type { Form, Line, Receipt, Screen, Step, Values } from './screen.ts';
import type { Times } from './times.ts';
import { languages, type Language, type Saying, type Words } from './words.ts';

/** What a page is made of besides its screen. */
export interface Frame {
  readonly assets: Assets;
  readonly brand: string;
  readonly language: Language;
  readonly words: Words;
  readonly times: Times;
  /** Address of this page in a language, without what names an attempt. */
  readonly address: (language: Language, key?: string) => string;
  /** Where the form goes, and where one begins anew. */
  readonly here: string;
  /** Reached by the plain form: it looks again by itself, whatever the browser makes of the script. */
  readonly plain: boolean;
}

const icons: Readonly<Record<string, Icon>> = { ready: 'locked', invalid: 'locked', asking: 'locked', opening: 'locked', open: 'unlocked', 'door-open': 'unlocked', delivered: 'done', earlier: 'done', unsure: 'unsure' };
const toneIcons: Readonly<Record<Screen['tone'], Icon>> = { plain: 'locked', busy: 'locked', good: 'done', warn: 'warn', bad: 'failed', wait: 'wait' };

/** The whole page. */
export function documentOf(frame: Frame, screen: Screen): string {
  const { assets, brand, language, words, address } = frame;
  const others = languages.filter(({ code }) => code !== language);
  const refresh = screen.lookAgain !== undefined && (screen.live === true || screen.name === 'not-yet');
  return html`<!doctype html>
<html lang="${language}" data-version="${assets.version}"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1"><title>${words.title}</title><meta name="robots" content="noindex,nofollow,noarchive"><meta name="referrer" content="no-referrer"><meta name="color-scheme" content="light dark"><meta name="format-detection" content="telephone=no"><meta property="og:title" content="${words.title}"><link rel="icon" href="data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 24 24' fill='none' stroke='%230b57d0' stroke-width='2'%3E%3Cpath d='M4 8.5 12 4l8 4.5v7L12 20l-8-4.5zM4 8.5l8 4.5 8-4.5M12 13v7'/%3E%3C/svg%3E">${refresh && refreshOf(frame, screen)}<style>${raw(assets.style)}</style></head>
<body><header><span class="brand">${icon('box')}${brand}</span><nav aria-label="${words.languages}">${others.map(({ code, name }) => html`<a href="${address(code, screen.attempt)}" lang="${code}" hreflang="${code}">${name}</a>`)}</nav></header>
${mainOf(frame, screen)}
<p id="said" class="apart" role="status"></p>
<footer><details><summary>${words.help.title}</summary><ul>${words.help.lines.map((each) => html`<li>${each}</li>`)}</ul></details></footer>
${phoneScreens(frame)}
<script>${raw(assets.script)}</script></body></html>
`.text;
}

function refreshOf({ plain, language, address }: Frame, { lookAgain, attempt }: Screen): Html {
  if (plain && attempt !== undefined) return html`<meta http-equiv="refresh" content="${lookAgain};url=${address(language, attempt)}&amp;sent=1">`;
  return html`<noscript><meta http-equiv="refresh" content="${lookAgain}"></noscript>`;
}

/** The part that changes. */
export function mainOf(frame: Frame, screen: Screen): Html {
  const { words, assets } = frame;
  const { name, tone, heading, text, box, steps, form, asides, receipt, attempt, lookAgain, live, until, another } = screen;
  return html`<main id="main" class="${tone}" data-screen="${name}" data-version="${assets.version}" data-here="${frame.here}"${attribute('data-attempt', attempt)}${attribute('data-look', lookAgain)}${attribute('data-until', until)}${live === true && raw(' data-live')}>
${box !== undefined && (box.name ?? box.address) !== null && html`<p class="box">${icon('place')}<span>${box.name !== null && html`<b>${box.name}</b>`} ${box.address ?? undefined}</span></p>`}<div class="state"><span class="sign">${icon(icons[name] ?? toneIcons[tone])}${tone === 'busy' && raw('<svg class="ring" viewBox="0 0 72 72" aria-hidden="true"><circle cx="36" cy="36" r="33" pathLength="100"/></svg>')}</span><h1 tabindex="-1">${lineOf(frame, heading)}</h1>
${text.map((each) => html`<p${screen.counts === true && each.values?.['n'] !== undefined && raw(` class="counts${each.scripted === true ? ' scripted' : ''}"`)}>${lineOf(frame, each)}</p>`)}</div>
${steps !== undefined && stepsOf(frame, steps)}${receipt !== undefined && receiptOf(frame, receipt)}${asides?.map(({ summary, text: more, tryAgain }) => html`<details class="aside"><summary>${summary}</summary><p>${more}</p>${tryAgain === true && html`<p><a class="button quiet" data-anew href="${frame.here}">${words.buttons.again}</a></p>`}</details>`)}${form !== undefined && formOf(frame, form)}${name === 'too-many' && html`<p><a class="button" href="${frame.here}">${words.buttons.again}</a></p>`}${name === 'fault' && form === undefined && html`<p><a class="button" href="${frame.here}">${words.buttons.again}</a></p>`}${another === true && html`<p><a class="button quiet" data-anew href="${frame.here}">${words.buttons.another}</a></p>`}</main>`;
}

const attribute = (name: string, value: string | number | undefined): Html | undefined => (value === undefined ? undefined : html` ${raw(name)}="${value}"`);

/** Fills in what is named in braces. */
function lineOf({ times }: Frame, { words, values = {} }: Line): Part {
  return words.split(/(\{\w+\})/).map((piece): Part => {
    const name = piece.startsWith('{') ? piece.slice(1, -1) : undefined;
    const value = name === undefined ? undefined : values[name];
    if (value === undefined) return piece;
    if (typeof value === 'object') return times.moment(value.at);
    if (name === 'days') return times.days(String(value).split(',').map(Number));
    return name === 'n' ? html`<span data-n>${value}</span>` : value;
  });
}

function stepsOf({ words, times }: Frame, steps: readonly Step[]): Html {
  const signs: Readonly<Record<Step['state'], Html | undefined>> = { done: icon('done'), failed: icon('failed'), unsure: icon('unsure'), now: undefined, next: undefined };
  return html`<ol class="steps" aria-label="${words.steps.title}">${steps.map(
    ({ words: step, state, at }) =>
      html`<li class="${state}"${state === 'now' && raw(' aria-current="step"')}><span class="dot">${signs[state]}</span><span>${step} <span class="apart">(${words.steps[state]})</span></span>${at != null && times.second(at)}</li>`,
  )}</ol>`;
}

function receiptOf({ words, times }: Frame, { box, openedAt, closedAt, reference, folded }: Receipt): Html {
  const list = html`<dl>${box !== null && html`<div><dt>${words.receipt.box}</dt><dd>${box}</dd></div>`}<div><dt>${words.receipt.opened}</dt><dd>${times.moment(openedAt)}</dd></div>${closedAt !== undefined && html`<div><dt>${words.receipt.closed}</dt><dd>${closedAt === null ? words.receipt.notClosed : times.moment(closedAt)}</dd></div>`}<div><dt>${words.receipt.reference}</dt><dd class="code">${reference}</dd></div></dl>`;
  return folded ? html`<details class="aside receipt"><summary>${words.receipt.show}</summary>${list}</details>` : html`<section class="receipt"><h2>${words.receipt.title}</h2>${list}</section>`;
}

function formOf(frame: Frame, { key, submit, identity, values, missing, decline, folded, confirmed }: Form): Html {
  const { words, here } = frame;
  const field = (name: keyof Values, label: string, max: number, complete: string, needed = false, type = 'text') => {
    const wrong = missing.includes(name);
    return html`<p class="field"><label for="${name}">${label} <small>${needed ? words.form.required : words.form.optional}</small></label><input id="${name}" name="${name}" type="${type}" maxlength="${max}" autocomplete="${complete}" value="${values[name]}"${needed && raw(' required')}${wrong && html` aria-invalid="true" aria-describedby="${name}-wrong"${name === missing[0] && raw(' autofocus')}`}>${wrong && html`<small class="wrong" id="${name}-wrong">${words.form.missing}</small>`}</p>`;
  };
  const fields = html`<div class="pair">${field('name', words.form.name, 100, 'name', identity)}${field('company', words.form.company, 100, 'organization', identity)}</div>${field('number', words.form.number, 100, 'off')}<details class="more"${(values.phone + values.note !== '') && raw(' open')}><summary>${words.form.more}</summary>${field('phone', words.form.phone, 20, 'tel', false, 'tel')}${field('note', words.form.note, 500, 'off')}</details><p class="check" hidden><input id="remember" type="checkbox"><label for="remember">${words.form.remember}</label></p>`;
  const who = folded
    ? html`<details class="who"><summary>${words.form.legend}</summary><fieldset aria-label="${words.form.legend}">${fields}</fieldset></details>`
    : html`<fieldset><legend>${words.form.legend}</legend>${fields}</fieldset>`;
  const act = html`<p class="act"><button>${icon('unlocked')}${submit}</button>${decline !== undefined && html`<a class="button quiet" href="${here}" data-anew>${decline}</a>`}</p>`;
  return html`<form method="post" action="${here}"><input type="hidden" name="key" value="${key}">${confirmed && raw('<input type="hidden" name="confirmed" value="yes">')}${folded ? [act, who] : [who, act]}</form>`;
}

/** What the phone shows by itself while it has no answer of the server. */
function phoneScreens(frame: Frame): Html {
  const { words } = frame;
  const screen = (name: string, tone: Screen['tone'], { heading, text }: Saying): Screen => ({ name, status: 200, tone, heading: { words: heading }, text: [{ words: text }] });
  const again = html`<p><button type="button" class="wide" data-again>${words.buttons.again}</button></p>`;
  const templates: readonly (readonly [Screen, Html?])[] = [
    [screen('asking', 'busy', words.asking)],
    [screen('phone-offline', 'warn', words.phoneOffline)],
    [screen('phone-lost', 'warn', words.phoneLost)],
    [screen('slow', 'busy', words.slow), again],
  ];
  return html`${templates.map(([each, more]) => html`<template data-name="${each.name}">${mainOf(frame, each)}${more}</template>`)}<template data-name="old"><div class="old"><b>${words.old.heading}</b> ${words.old.text} <button type="button" class="quiet" data-reload>${words.buttons.reload}</button></div></template>`;
}
