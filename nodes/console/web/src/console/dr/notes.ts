// What nodes write in English only (findings of margins, journal notes, the proof of a takeover), read in
// Chinese. What is not known stays as it is: a note is never lost.

import { dayAndTime } from "@/shared/time";

type Rule = [RegExp, (...parts: string[]) => string];

const when = (text: string) => (/^\d{12,}$/.test(text) ? dayAndTime(Number(text)) : text);

const rules: Rule[] = [
  // What margins need and find.
  [/^a leader$/, () => "有主节点"],
  [/^no leader$/, () => "没有主节点"],
  [/^none$/, () => "无"],
  [/^all$/, () => "全部"],
  [/^no answer$/, () => "无应答"],
  [/^(\S+) leads$/, (name) => `${name} 为主节点`],
  [/^each within (\d+) ms$/, (ms) => `均在 ${ms} 毫秒内有应答`],
  [/^at most (\d+) entries behind$/, (count) => `落后不超过 ${count} 条`],
  [/^(\d+) ms apart$/, (ms) => `相差 ${ms} 毫秒`],
  [/^at most (\d+) ms$/, (ms) => `不超过 ${ms} 毫秒`],
  [/^(\d+) days left$/, (days) => `剩余 ${days} 天`],
  [/^at least (\d+) days$/, (days) => `至少 ${days} 天`],
  [/^at least (\d+) MiB free$/, (size) => `至少剩余 ${size} MiB`],
  [/^at least 1, caught up$/, () => "至少 1 个，且已追平"],
  [/^at least (\d+)$/, (count) => `至少 ${count}`],
  [/^(\d+) of (\d+)$/, (left, all) => `${left} / ${all}`],
  // The journal.
  [/^(\S+), (rehearsal|real)$/, (who, kind) => `${who}，${kind === "real" ? "正式" : "预演"}`],
  [/^measured$/, () => "已测量"],
  [/^agreed on$/, () => "已议定"],
  [/^green$/, () => "绿"],
  [/^red$/, () => "红"],
  [/^nothing to undo$/, () => "无需回退"],
  [/^leadership returns by preference$/, () => "主节点按首选自行返回"],
  [/^rehearsed: nothing was held apart$/, () => "预演：未隔离"],
  [/^rehearsed: nobody's voice was changed$/, () => "预演：未调整投票权"],
  [/^rehearsed: leadership stayed$/, () => "预演：未移交"],
  [/^rehearsed: (\S+) did not take over$/, (name) => `预演：${name} 未接管`],
  [/^(\S+) was held apart for (\d+) ms$/, (what, ms) => `${what} 已隔离 ${ms} 毫秒`],
  [/^(\S+) and (\S+) were held apart for (\d+) ms$/, (one, other, ms) => `${one} 与 ${other} 已隔离 ${ms} 毫秒`],
  [/^(\d+) core nodes heard and caught up$/, (count) => `${count} 个核心节点在线且已追平`],
  [/^(\d+) probers reported$/, (count) => `${count} 个探针已上报`],
  [/^without the report of (.+)$/, (names) => `缺 ${names} 的上报`],
  [/^(\d+) voices changed$/, (count) => `已调整 ${count} 个节点的投票权`],
  [/^not done within (\d+) ms$/, (ms) => `${ms} 毫秒内未完成`],
  [/^the abort point is over$/, () => "中止点已过"],
  [
    /^epoch (\d+) is agreed on (\d+) ms after the takeover began, (\d+) ms after the first approval$/,
    (epoch, after, asked) => `接管开始后 ${after} 毫秒、第一次批准后 ${asked} 毫秒，议定纪元 ${epoch}`,
  ],
  // The proof.
  [/^this node is no guard: nothing is proven of sync writes$/, () => "本节点不是见证节点：对同步类写入无从证明"],
  [
    /^sync writes after entry (\d+) were acknowledged without this city: not proven from there$/,
    (entry) => `条目 ${entry} 之后的同步类写入未经本城市即已确认：自此未证明`,
  ],
  [
    /^RPO 0 of the sync class is proven: every sync write acknowledged before (\S+) is here, and the other city is attested to be off since (\S+)$/,
    (until, off) => `同步类 RPO 0 得证：${when(until ?? "")} 之前确认的同步类写入全部在此，且对端城市经确认自 ${when(off ?? "")} 起已断电或断网`,
  ],
  [
    /^not proven between (\S+) and (\S+): in that time the other city may have acknowledged sync writes without this one; before it none is missing$/,
    (from, to) => `${when(from ?? "")} 至 ${when(to ?? "")} 未证明：其间对端城市可能未经本城市确认过同步类写入；此前一条不少`,
  ],
  [/^this guard has proven nothing yet$/, () => "该见证节点尚未证明过任何事"],
];

export function readNote(note: string, language: string): string {
  // A moment as a number says nothing to people, in whatever language.
  const text = note.replace(/\b\d{13}\b/g, (number) => when(number));
  if (language === "en") return text;
  for (const [rule, write] of rules) {
    const found = rule.exec(note);
    if (found) return write(...found.slice(1));
  }
  return text;
}
