import { boundedCache } from '../../platform/bounded-cache.ts';
import type { Facts, Kind, Language } from './kinds.ts';

/** What a sentence is made of. Names are what people wrote: whoever puts them into a page escapes them there. */
export interface Saying {
  /** The box by its owner's name for it, else by its serial number. */
  readonly box: string;
  /** Undefined: it has no name, or no longer any. */
  readonly link: string | undefined;
  /** When it happened, in words of the reader's zone. */
  readonly time: string;
  readonly facts: Facts;
  /** An instant among the facts, in the same words. */
  at(instant: string): string;
}

export interface Said {
  readonly title: string;
  readonly text: string;
}

type Words = Readonly<Record<Kind, (saying: Saying) => Said>>;

const en: Words = {
  link_opened: ({ box, link, time, facts }) => ({
    title: `${box} was opened with a link`,
    text:
      `${box} was opened on ${time} with ${link === undefined ? 'a link of yours' : `your link “${link}”`}.` +
      (facts['later'] === true ? ' The box told us only now.' : ' The box reported that its bolt moved.'),
  }),
  unlock_unknown: ({ box, link, time, facts }) => ({
    title: `We do not know whether ${box} opened`,
    text:
      `${byWhomEn(facts['cause'], link)} to open ${box}, and by ${time} the box had not answered. It may have opened: please have a look.` +
      (facts['cause'] === 'link' ? ' The link counts as used.' : '') +
      ' When the box answers after all, its activity shows what it was.',
  }),
  unexplained_opening: ({ box, time }) => ({
    title: `${box} was opened, and nobody here asked for it`,
    text: `On ${time} ${box} reported that it is open. No request of ours led to that: somebody may have used a key, or force. Please have a look.`,
  }),
  emergency_unlock: ({ box, time, facts }) => ({
    title: `Support asked to open ${box}`,
    text: `On ${time} an administrator asked to open ${box}.${facts['reason'] !== undefined ? ` The reason given: “${facts['reason']}”.` : facts['explained'] === true ? '' : ' No reason was given.'}`,
  }),
  battery_low: ({ box, time, facts }) => ({
    title: `The battery of ${box} is at ${facts['level']} %`,
    text: `${box} reported on ${time} that its battery is at ${facts['level']} %. Change or charge it soon: an empty box cannot be opened over the network.`,
  }),
  device_offline: ({ box, facts, at, time }) => ({
    title: `${box} is offline`,
    text: `${box} was last heard on ${typeof facts['last_heard_at'] === 'string' ? at(facts['last_heard_at']) : time}. While it is offline nobody can open it over the network. Check its power and its reception.`,
  }),
  device_online: ({ box, time }) => ({ title: `${box} is online again`, text: `${box} has been online again since ${time}.` }),
  device_jammed: ({ box, time }) => ({ title: `The bolt of ${box} is stuck`, text: `${box} reported on ${time} that its bolt is stuck. It may be neither open nor properly locked: please have a look.` }),
  device_tampered: ({ box, time }) => ({ title: `Somebody may be tampering with ${box}`, text: `${box} reported on ${time} that it is being tampered with. Please have a look.` }),
  clone_suspected: ({ box, time }) => ({
    title: `Two boxes may be using the identity of ${box}`,
    text: `On ${time} two connections at once said that they are ${box}. Somebody may have copied what it identifies itself with. Support has been told.`,
  }),
  unlink_done: ({ box, time, facts }) => ({
    title: `${box} was removed from your account`,
    text: `${box} was removed from your account on ${time}, ${facts['by'] === 'admin' ? 'by support' : 'by you'}. Its links no longer open it. To add it again you need a new PIN from support.`,
  }),
  password_changed: ({ time }) => ({
    title: 'Your password was changed',
    text: `The password of your account was changed on ${time}, and every sign-in was ended. If that was not you, ask support for help at once.`,
  }),
  refresh_token_reused: ({ time }) => ({
    title: 'A sign-in of yours was used twice',
    text: `On ${time} the key of one of your sign-ins was used a second time: it may have been copied. That sign-in was ended. If you do not know why, change your password.`,
  }),
  new_sign_in: ({ time, facts }) => ({
    title: 'New sign-in to your account',
    text: `Somebody signed in to your account on ${time}${facts['scope'] === 'admin' ? ', to the administration' : ''}. If that was you, all is well. If not, change your password: it ends every sign-in.`,
  }),
  admin_emergency_unlock: ({ box, time, facts }) => ({
    title: `Emergency opening of ${box} without a reason`,
    text: `On ${time} the administrator ${facts['admin_id']} asked to open ${box} and gave no reason. Its owner has been told.`,
  }),
  admin_unexplained_opening: ({ box, time }) => ({ title: `Unexplained opening of ${box}`, text: `On ${time} ${box} reported that it is open, and no request led to that.` }),
  admin_clone_suspected: ({ box, time }) => ({
    title: `${box} may have been cloned`,
    text: `On ${time} two connections at once used the identity of ${box}. Rotate its keys, and look at its last rejected messages.`,
  }),
  admin_unlink_request: ({ box, time }) => ({ title: `Request to unlink ${box}`, text: `On ${time} the owner of ${box} asked support to remove it from the account.` }),
};

function byWhomEn(cause: Facts[string] | undefined, link: string | undefined): string {
  switch (cause) {
    case 'link':
      return `Somebody asked with ${link === undefined ? 'a link of yours' : `your link “${link}”`}`;
    case 'admin':
      return 'Support asked';
    case 'schedule':
      return 'A schedule of yours asked';
    default:
      return 'You asked';
  }
}

const tr: Words = {
  link_opened: ({ box, link, time, facts }) => ({
    title: `${box} bir bağlantıyla açıldı`,
    text:
      `${box}, ${time} tarihinde ${link === undefined ? 'bir bağlantınızla' : `“${link}” bağlantınızla`} açıldı.` +
      (facts['later'] === true ? ' Kutu bunu ancak şimdi bildirdi.' : ' Kutu, sürgüsünün hareket ettiğini bildirdi.'),
  }),
  unlock_unknown: ({ box, link, time, facts }) => ({
    title: `${box} açıldı mı, bilmiyoruz`,
    text:
      `${byWhomTr(facts['cause'], link)} ${box} kutusunun açılması istendi; kutu ${time} itibarıyla yanıt vermedi. Açılmış olabilir: lütfen kontrol edin.` +
      (facts['cause'] === 'link' ? ' Bağlantı kullanılmış sayılır.' : '') +
      ' Kutu sonradan yanıt verirse ne olduğu etkinliklerinde görünür.',
  }),
  unexplained_opening: ({ box, time }) => ({
    title: `${box} açıldı ve bunu buradan kimse istemedi`,
    text: `${box}, ${time} tarihinde açık olduğunu bildirdi. Buna bizden giden hiçbir istek yol açmadı: biri anahtar ya da zor kullanmış olabilir. Lütfen kontrol edin.`,
  }),
  emergency_unlock: ({ box, time, facts }) => ({
    title: `Destek ekibi ${box} kutusunu açmak istedi`,
    text: `Bir yönetici ${time} tarihinde ${box} kutusunun açılmasını istedi.${facts['reason'] !== undefined ? ` Belirtilen neden: “${facts['reason']}”.` : facts['explained'] === true ? '' : ' Bir neden belirtilmedi.'}`,
  }),
  battery_low: ({ box, time, facts }) => ({
    title: `${box} pili: % ${facts['level']}`,
    text: `${box}, ${time} tarihinde pilinin % ${facts['level']} olduğunu bildirdi. Yakında değiştirin ya da şarj edin: pili biten bir kutu ağ üzerinden açılamaz.`,
  }),
  device_offline: ({ box, facts, at, time }) => ({
    title: `${box} çevrimdışı`,
    text: `${box} kutusundan son haber ${typeof facts['last_heard_at'] === 'string' ? at(facts['last_heard_at']) : time} tarihinde geldi. Çevrimdışıyken kimse onu ağ üzerinden açamaz. Elektriğini ve çekimini kontrol edin.`,
  }),
  device_online: ({ box, time }) => ({ title: `${box} yeniden çevrimiçi`, text: `${box}, ${time} tarihinden beri yeniden çevrimiçi.` }),
  device_jammed: ({ box, time }) => ({ title: `${box} kutusunun sürgüsü sıkıştı`, text: `${box}, ${time} tarihinde sürgüsünün sıkıştığını bildirdi. Ne açık ne de düzgün kilitli olabilir: lütfen kontrol edin.` }),
  device_tampered: ({ box, time }) => ({ title: `${box} kurcalanıyor olabilir`, text: `${box}, ${time} tarihinde kurcalandığını bildirdi. Lütfen kontrol edin.` }),
  clone_suspected: ({ box, time }) => ({
    title: `${box} kimliğini iki kutu kullanıyor olabilir`,
    text: `${time} tarihinde iki bağlantı aynı anda ${box} olduğunu söyledi. Biri kutunun kimlik bilgilerini kopyalamış olabilir. Destek ekibine haber verildi.`,
  }),
  unlink_done: ({ box, time, facts }) => ({
    title: `${box} hesabınızdan kaldırıldı`,
    text: `${box}, ${time} tarihinde ${facts['by'] === 'admin' ? 'destek ekibi tarafından' : 'sizin tarafınızdan'} hesabınızdan kaldırıldı. Bağlantıları artık onu açmaz. Yeniden eklemek için destek ekibinden yeni bir PIN gerekir.`,
  }),
  password_changed: ({ time }) => ({
    title: 'Parolanız değiştirildi',
    text: `Hesabınızın parolası ${time} tarihinde değiştirildi ve bütün oturumlar kapatıldı. Bunu siz yapmadıysanız hemen destek ekibinden yardım isteyin.`,
  }),
  refresh_token_reused: ({ time }) => ({
    title: 'Bir oturumunuz iki kez kullanıldı',
    text: `${time} tarihinde oturumlarınızdan birinin anahtarı ikinci kez kullanıldı: kopyalanmış olabilir. O oturum kapatıldı. Nedenini bilmiyorsanız parolanızı değiştirin.`,
  }),
  new_sign_in: ({ time, facts }) => ({
    title: 'Hesabınızda yeni oturum',
    text: `${time} tarihinde hesabınızda ${facts['scope'] === 'admin' ? 'yönetim için ' : ''}oturum açıldı. Bu sizseniz sorun yok. Değilseniz parolanızı değiştirin: bütün oturumlar kapanır.`,
  }),
  admin_emergency_unlock: ({ box, time, facts }) => ({
    title: `${box} için nedensiz acil açma`,
    text: `${facts['admin_id']} numaralı yönetici ${time} tarihinde ${box} kutusunun açılmasını istedi ve neden belirtmedi. Sahibine haber verildi.`,
  }),
  admin_unexplained_opening: ({ box, time }) => ({ title: `${box}: açıklanamayan açılma`, text: `${box}, ${time} tarihinde açık olduğunu bildirdi; buna hiçbir istek yol açmadı.` }),
  admin_clone_suspected: ({ box, time }) => ({
    title: `${box} kopyalanmış olabilir`,
    text: `${time} tarihinde iki bağlantı aynı anda ${box} kimliğini kullandı. Anahtarlarını yenileyin ve son reddedilen iletilerine bakın.`,
  }),
  admin_unlink_request: ({ box, time }) => ({ title: `${box} için kaldırma isteği`, text: `${box} kutusunun sahibi ${time} tarihinde destek ekibinden onu hesabından kaldırmasını istedi.` }),
};

function byWhomTr(cause: Facts[string] | undefined, link: string | undefined): string {
  switch (cause) {
    case 'link':
      return link === undefined ? 'Bir bağlantınızla' : `“${link}” bağlantınızla`;
    case 'admin':
      return 'Destek ekibi tarafından';
    case 'schedule':
      return 'Bir zaman planınızla';
    default:
      return 'Sizin tarafınızdan';
  }
}

const words: Readonly<Record<Language, Words>> = { en, tr };

export function say(language: Language, kind: Kind, saying: Saying): Said {
  return words[language][kind](saying);
}

/** Making one costs as much as the mail around it. */
const formats = boundedCache<string, Intl.DateTimeFormat>({ max: 64 });

/** `Sat, 21 November 2026, 13:05 GMT+3`: never without its zone. */
export function timeIn(language: Language, timeZone: string): (instant: string) => string {
  const key = `${language} ${timeZone}`;
  const format = formats.get(key) ?? dateFormat(language, timeZone);
  formats.set(key, format);
  return (instant) => format.format(new Date(instant));
}

function dateFormat(language: Language, timeZone: string): Intl.DateTimeFormat {
  return new Intl.DateTimeFormat(language === 'tr' ? 'tr-TR' : 'en-GB', {
    weekday: 'short',
    day: 'numeric',
    month: 'long',
    year: 'numeric',
    hour: '2-digit',
    minute: '2-digit',
    timeZone,
    timeZoneName: 'short',
  });
}

/** What stands around the sentences of a mail. */
export interface Frame {
  readonly hello: (name: string | undefined) => string;
  readonly open: string;
  readonly why: string;
  readonly digestTitle: (count: number) => string;
  readonly digestText: (count: number, shown: number) => string;
}

export const frames: Readonly<Record<Language, Frame>> = {
  en: {
    hello: (name) => (name === undefined ? 'Hello,' : `Hello ${name},`),
    open: 'Open Loqey',
    why: 'You get this mail because of your account at Loqey. Which mails you get is set in the app, under Notifications.',
    digestTitle: (count) => (count === 1 ? '1 more message from Loqey' : `${count} more messages from Loqey`),
    digestText: (count, shown) => `So that your mailbox does not overflow, ${count === 1 ? 'this message was' : `these ${count} messages were`} kept for one mail.${shown < count ? ` The first ${shown} are here, all of them in the app.` : ''}`,
  },
  tr: {
    hello: (name) => (name === undefined ? 'Merhaba,' : `Merhaba ${name},`),
    open: 'Loqey’i aç',
    why: 'Bu e-postayı Loqey hesabınız nedeniyle alıyorsunuz. Hangi e-postaları alacağınızı uygulamada, Bildirimler altında seçebilirsiniz.',
    digestTitle: (count) => `Loqey’den ${count} ileti daha`,
    digestText: (count, shown) => `Posta kutunuz dolmasın diye ${count} ileti tek e-postada toplandı.${shown < count ? ` İlk ${shown} tanesi burada, tümü uygulamada.` : ''}`,
  },
};
