// Files of a drop or a directory input: directories are walked, relative paths are kept.

/** `[{file, path}]`; paths begin with the dropped directory's name. */
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
    if (!batch.length) return; // entries come in batches, the last one empty
    for (const inner of batch) await walk(inner, path, found);
  }
}

/** `[{file, path}]` of chosen files. */
export function filesOfChoice(files) {
  return files.map((file) => ({ file, path: file.webkitRelativePath || file.name }));
}
