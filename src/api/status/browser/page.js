// @ts-check
(() => {
  'use strict';

  /**
   * @typedef {{ phase: 'load' | 'indexes' | 'compare' | 'switch', percent: number, events: number, events_total: number, per_second: number, seconds_left: number | null }} Progress
   * @typedef {{ action: string, state: string, kind: string, asked_by: string, asked_at: string, progress: Progress | null, error: string | null }} Run
   * @typedef {{ generation: number, version: number, state: string, position: string | null, since: string, until: string | null, resumable: boolean, size_bytes: number }} Generation
   * @typedef {{ position: string, event_id: string, type: string, stream: string, message: string }} Poison
   * @typedef {{ name: string, group: string, state: string, position: string | null, behind: number, lag_seconds: number, last_event_at: string | null, version: number | null, program_version: number, generation: number | null, size_bytes: number, error: Poison | null, generations: Generation[], run: Run | null }} Model
   */

  const BUSY_MS = 1_000;
  const IDLE_MS = 5_000;

  /** In this page's memory alone: gone when it is closed or loaded again. */
  let access = '';
  let refresh = '';
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;
  let lastSaid = '';
  /** Names of the read models whose generations are shown. @type {Set<string>} */
  const opened = new Set();

  const form = /** @type {HTMLFormElement} */ (document.getElementById('sign-in'));
  const wrong = /** @type {HTMLElement} */ (document.getElementById('wrong'));
  const status = /** @type {HTMLElement} */ (document.getElementById('status'));
  const list = /** @type {HTMLElement} */ (document.getElementById('models'));
  const said = /** @type {HTMLElement} */ (document.getElementById('said'));
  const when = /** @type {HTMLElement} */ (document.getElementById('when'));
  const out = /** @type {HTMLElement} */ (document.getElementById('sign-out'));

  /**
   * @param {string} path
   * @param {object} [body]
   */
  const ask = (path, body) =>
    fetch(path, {
      ...(body === undefined ? {} : { method: 'POST', body: JSON.stringify(body) }),
      headers: { ...(body === undefined ? {} : { 'content-type': 'application/json' }), ...(access === '' ? {} : { authorization: `Bearer ${access}` }) },
      cache: 'no-store',
      credentials: 'omit',
    });

  form.addEventListener('submit', (event) => {
    event.preventDefault();
    void signIn();
  });

  async function signIn() {
    const given = new FormData(form);
    wrong.hidden = true;
    try {
      access = '';
      const answer = await ask('/api/v1/admin/auth/login', { email: given.get('email'), password: given.get('password') });
      const body = await answer.json();
      if (!answer.ok) return complain(body.message);
      access = body.access_token;
      refresh = body.refresh_token;
      form.reset();
      show(true);
      await look();
      /** @type {HTMLElement | null} */ (document.querySelector('h1'))?.focus();
    } catch {
      complain('The server cannot be reached.');
    }
  }

  out.addEventListener('click', () => {
    void ask('/api/v1/auth/logout', { refresh_token: refresh }).catch(() => undefined);
    signedOut('');
  });

  /** @param {string} words */
  function complain(words) {
    wrong.textContent = words;
    wrong.hidden = false;
  }

  /** @param {boolean} isIn */
  function show(isIn) {
    form.hidden = isIn;
    status.hidden = !isIn;
    out.hidden = !isIn;
  }

  /** @param {string} why */
  function signedOut(why) {
    clearTimeout(timer);
    access = refresh = '';
    list.replaceChildren();
    show(false);
    if (why !== '') complain(why);
  }

  async function renew() {
    const token = refresh;
    access = refresh = '';
    if (token === '') return false;
    const answer = await ask('/api/v1/auth/refresh', { refresh_token: token });
    if (!answer.ok) return false;
    const body = await answer.json();
    access = body.access_token;
    refresh = body.refresh_token;
    return true;
  }

  async function look() {
    clearTimeout(timer);
    let next = IDLE_MS;
    try {
      let answer = await ask('/api/v1/admin/projections');
      if (answer.status === 401 && (await renew())) answer = await ask('/api/v1/admin/projections');
      if (answer.status === 401) return signedOut('Your session has ended. Sign in again.');
      const body = await answer.json();
      if (answer.status === 403) return signedOut('This account may not see it.');
      if (!answer.ok) throw new Error(body.message);
      /** @type {Model[]} */
      const models = body.projections;
      draw(models);
      when.textContent = `As of ${new Date().toLocaleTimeString()}. The log ends at ${body.head ?? 'nothing: it is empty'}.`;
      if (models.some(({ run }) => run !== null && (run.state === 'running' || run.state === 'waiting'))) next = BUSY_MS;
    } catch (error) {
      when.textContent = `It could not be asked: ${error instanceof Error && error.message !== '' ? error.message : 'the server cannot be reached'}. What is below may be old.`;
    }
    if (access !== '') timer = setTimeout(() => void look(), next);
  }

  document.addEventListener('visibilitychange', () => {
    clearTimeout(timer);
    if (!document.hidden && access !== '') void look();
  });

  /** @param {Model[]} models */
  function draw(models) {
    const had = document.activeElement?.closest('[data-name]')?.getAttribute('data-name');
    list.replaceChildren(...models.map(modelOf));
    // What had the focus has it again: the list was drawn anew under it.
    if (had != null) /** @type {HTMLElement | null} */ (list.querySelector(`[data-name="${CSS.escape(had)}"] summary`))?.focus();
    const words = models.map((each) => wordsOf(each).text);
    const stopped = models.filter(({ state }) => state === 'stopped').map(({ name }) => name);
    const busy = models.filter(({ run }) => run?.state === 'running').map(({ name }) => name);
    const now = [stopped.length > 0 ? `Stopped: ${stopped.join(', ')}.` : '', busy.length > 0 ? `Being built: ${busy.join(', ')}.` : '', words.every((each) => each === 'Live') ? 'All are live.' : ''].filter((each) => each !== '').join(' ');
    // Only what changed is said, and not each percent.
    if (now !== lastSaid) said.textContent = lastSaid = now;
  }

  const stateWords = { running: 'Live', catching_up: 'Catching up', stopped: 'Stopped', missing: 'Not built yet', outdated: 'Of the former version' };
  const generationWords = { building: 'being built', ready: 'waits to be switched to', active: 'live', retired: 'former' };

  /** @param {Model} model */
  function wordsOf({ state, run, generations }) {
    const base = stateWords[/** @type {keyof typeof stateWords} */ (state)] ?? state;
    if (state === 'stopped') return { text: base, tone: 'bad' };
    if (run?.state === 'running') return { text: state === 'running' ? 'Live, and being built' : 'Being built', tone: 'busy' };
    if (generations.some((each) => each.state === 'ready')) return { text: `${base}; one waits to be switched to`, tone: 'busy' };
    return { text: base, tone: state === 'running' ? '' : 'warn' };
  }

  /** @param {Model} model */
  function modelOf(model) {
    const { name, error, run, generations } = model;
    const { text, tone } = wordsOf(model);
    const item = element('li', { class: `model ${tone}`, 'data-name': name });
    const head = element('header', {}, element('h2', {}, name), element('span', { class: 'badge' }, text));
    const facts = element(
      'dl',
      {},
      ...fact('Position', model.position ?? '–'),
      ...fact('Lag', model.behind === 0 ? 'none' : `${number(model.behind)}, ${duration(model.lag_seconds)}`),
      ...fact('Version', model.version === null || model.version === model.program_version ? `${model.program_version}` : `${model.version}, soon ${model.program_version}`),
      ...fact('Generation', model.generation === null ? '–' : `${model.generation}`),
      ...fact('Size', size(model.size_bytes)),
    );
    item.append(head, ...(run === null ? [] : runOf(name, run)));
    if (error !== null) {
      item.append(
        element('p', { class: 'note bad' }, `It stands before ${error.type} at position ${error.position}: ${error.message}. `, element('code', {}, error.event_id)),
      );
    }
    item.append(facts);
    if (generations.length > 0) {
      const more = element('details', opened.has(name) ? { open: '' } : {}, element('summary', {}, generations.length === 1 ? '1 generation' : `${generations.length} generations`));
      more.addEventListener('toggle', () => (/** @type {HTMLDetailsElement} */ (more).open ? opened.add(name) : opened.delete(name)));
      more.append(
        element(
          'ul',
          { class: 'plain' },
          ...generations.map((each) =>
            element(
              'li',
              {},
              `${each.generation} (version ${each.version}): ${generationWords[/** @type {keyof typeof generationWords} */ (each.state)] ?? each.state}${each.state !== 'active' && each.position !== null ? `, at ${each.position}` : ''}, ${size(each.size_bytes)}${each.until === null ? '' : `, kept until ${new Date(each.until).toLocaleString()}`}`,
            ),
          ),
        ),
      );
      item.append(more);
    }
    return item;
  }

  /**
   * @param {string} name
   * @param {Run} run
   */
  function runOf(name, run) {
    const who = run.kind === 'upgrade' ? '' : `, asked by ${run.asked_by}`;
    if (run.state === 'waiting') return [element('p', { class: 'note' }, `A ${run.action} waits${who}.`)];
    if (run.state === 'failed') return [element('p', { class: 'note bad' }, `The last ${run.action} failed: ${run.error ?? ''}`)];
    if (run.state !== 'running') return [];
    const { progress } = run;
    if (progress === null) return [element('p', { class: 'note' }, `A ${run.action} begins${who}.`)];
    const phase = { load: `${progress.percent} %`, indexes: 'Building indexes', compare: 'Comparing', switch: 'Switching' }[progress.phase];
    const left = progress.phase === 'load' && progress.seconds_left !== null ? `, about ${duration(progress.seconds_left)} left` : '';
    const bar = element('progress', { max: '100', value: `${progress.percent}`, 'aria-label': `Progress of ${name}` });
    return [bar, element('p', {}, `${phase}: ${number(progress.events)} of ${number(progress.events_total)} events, ${number(progress.per_second)} per second${left}${who}`)];
  }

  /**
   * @param {string} name
   * @param {string} value
   */
  const fact = (name, value) => [element('div', {}, element('dt', {}, name), element('dd', {}, value))];

  /** @param {number} value */
  const number = (value) => value.toLocaleString();

  /** @param {number} bytes */
  const size = (bytes) => `${(bytes / 1_048_576).toFixed(1)} MB`;

  /** @param {number} seconds */
  const duration = (seconds) => (seconds < 90 ? `${Math.ceil(seconds)} s` : seconds < 5_400 ? `${Math.round(seconds / 60)} min` : `${Math.round(seconds / 3_600)} h`);

  /**
   * @param {string} tag
   * @param {Record<string, string>} attributes
   * @param {...(Node | string)} children
   */
  function element(tag, attributes, ...children) {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) if (value !== '' || name === 'open') made.setAttribute(name, value);
    made.append(...children);
    return made;
  }
})();
