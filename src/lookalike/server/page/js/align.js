// Alignment of a stored image with the query on the stage, by the homography that the verification found.

/** A homography between shares of image sizes, as a CSS matrix3d for boxes of `width` x `height` pixels. */
function cssMatrix([[a, b, c], [d, e, f], [g, i, j]], width, height) {
  const columns = [a, (d * height) / width, 0, g / width, (b * width) / height, e, 0, i / height, 0, 0, 1, 0, c * width, f * height, 0, j];
  return `matrix3d(${columns.map((value) => value.toFixed(8)).join(",")})`;
}

/** The box of an image that is fitted into its element, inside the padding. */
function fittedBox(img) {
  const style = getComputedStyle(img);
  const padding = parseFloat(style.paddingLeft) || 0;
  const width = img.clientWidth - 2 * padding;
  const height = img.clientHeight - 2 * padding;
  const scale = Math.min(width / img.naturalWidth, height / img.naturalHeight);
  const size = [img.naturalWidth * scale, img.naturalHeight * scale];
  return { left: padding + (width - size[0]) / 2, top: padding + (height - size[1]) / 2, width: size[0], height: size[1] };
}

/** Lay the found image over the query on the stage, also when its size changes; returns a function that stops that. */
export function alignOn(stage, transform) {
  const query = stage.querySelector(".stage-yours img");
  if (!query || !transform) return () => {};
  const place = () => {
    if (!query.naturalWidth || !query.clientWidth) return;
    const box = fittedBox(query);
    for (const [name, value] of Object.entries(box)) stage.style.setProperty(`--found-${name}`, `${value}px`);
    stage.style.setProperty("--found-transform", cssMatrix(transform.matrix, box.width, box.height));
    stage.classList.add("aligned");
  };
  const observer = new ResizeObserver(place);
  observer.observe(query);
  query.addEventListener("load", place);
  place();
  return () => {
    observer.disconnect();
    query.removeEventListener("load", place);
  };
}
