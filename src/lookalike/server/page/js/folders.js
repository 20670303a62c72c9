// Files out of what was dropped: folders are walked through, paths are kept.

/** `[{file, path}]`; a folder's files keep the folder's name in their path. */
export async function filesOfDrop(transfer) {
  const entries = [...transfer.items].filter((item) => item.kind === "file").map((item) => item.webkitGetAsEntry?.() ?? item.getAsFile());
  const found = [];
  for (const entry of entries) {
    if (entry instanceof File) found.push({ file: entry, path: entry.name });
    else if (entry) await walk(entry, "", found);
  }
  return found;
}

async function walk(entry, folder, found) {
  const path = folder ? `${folder}/${entry.name}` : entry.name;
  if (entry.isFile) {
    found.push({ file: await new Promise((resolve, reject) => entry.file(resolve, reject)), path });
    return;
  }
  const reader = entry.createReader();
  for (;;) {
    const batch = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (!batch.length) return; // a reader gives a folder in parts, an empty one at its end
    for (const inner of batch) await walk(inner, path, found);
  }
}

/** The same for files that were chosen. */
export function filesOfChoice(files) {
  return files.map((file) => ({ file, path: file.webkitRelativePath || file.name }));
}
