// A photo by the camera: a live image where the browser gives one, else the phone's own camera by a file field.
import { button, h, iconButton } from "./dom.js";
import { openDialog } from "./dialog.js";
import { chooseFiles } from "./intake.js";
import { toast } from "./announce.js";

const WANTED = { width: { ideal: 1920 }, height: { ideal: 1440 } };

async function open(facing) {
  return navigator.mediaDevices.getUserMedia({ video: { ...WANTED, facingMode: { ideal: facing } }, audio: false });
}

function stop(stream) {
  for (const track of stream?.getTracks() ?? []) track.stop();
}

function shoot(video) {
  const canvas = h("canvas", { width: video.videoWidth, height: video.videoHeight });
  canvas.getContext("2d").drawImage(video, 0, 0);
  return new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", 0.95));
}

/** A photo as a Blob, or null. */
export async function takePhoto() {
  let stream = null;
  try {
    if (!navigator.mediaDevices?.getUserMedia) throw new DOMException("no camera here", "NotSupportedError");
    stream = await open("environment");
  } catch (error) {
    if (error.name === "NotAllowedError") {
      toast("The browser was told not to use the camera; allow it beside the address, or choose a file.");
    }
    return (await chooseFiles({ capture: "environment" }))[0] ?? null;
  }
  return new Promise((resolve) => {
    let facing = "environment";
    let photo = null;
    const video = h("video.camera-view", { autoplay: true, muted: true, playsInline: true, srcObject: stream, "aria-label": "What the camera sees" });
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
