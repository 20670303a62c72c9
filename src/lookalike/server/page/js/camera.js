// Takes a photo: by a camera stream where the browser offers one, else by a file input with `capture`.
import { openDialog } from "./dialog.js";
import { button, h, iconButton } from "./dom.js";
import { chooseFiles } from "./file-input.js";
import { toast } from "./live-region.js";

const RESOLUTION = { width: { ideal: 1920 }, height: { ideal: 1440 } };

async function open(facing) {
  return navigator.mediaDevices.getUserMedia({ video: { ...RESOLUTION, facingMode: { ideal: facing } }, audio: false });
}

function stop(stream) {
  for (const track of stream?.getTracks() ?? []) track.stop();
}

function shoot(video) {
  const canvas = h("canvas", { width: video.videoWidth, height: video.videoHeight });
  canvas.getContext("2d").drawImage(video, 0, 0);
  return new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", 0.95));
}

/** Resolves to a photo as a Blob, or null. */
export async function takePhoto() {
  let stream = null;
  try {
    if (!navigator.mediaDevices?.getUserMedia) throw new DOMException("no camera available", "NotSupportedError");
    stream = await open("environment");
  } catch (error) {
    if (error.name === "NotAllowedError") {
      toast("Camera access is blocked; allow it in the browser's address bar, or choose a file.");
    }
    return (await chooseFiles({ capture: "environment" }))[0] ?? null;
  }
  return new Promise((resolve) => {
    let facing = "environment";
    let photo = null;
    const video = h("video.camera-view", { autoplay: true, muted: true, playsInline: true, srcObject: stream, "aria-label": "Camera preview" });
    const turn = async () => {
      facing = facing === "environment" ? "user" : "environment";
      stop(stream);
      stream = await open(facing);
      video.srcObject = stream;
    };
    const take = button("Take the photo", { look: "primary", symbol: "camera", disabled: true, onclick: async () => {
      photo = await shoot(video);
      dialog.close("taken");
    } });
    video.addEventListener("loadedmetadata", () => (take.disabled = false));
    const dialog = openDialog({
      title: "Take a photo", look: "wide", body: video,
      actions: [iconButton("Use the other camera", "retry", { onclick: () => turn().catch(() => toast("There is no other camera.")) }), take],
      closed: () => {
        stop(stream);
        resolve(photo);
      },
    });
  });
}
