/* The small pictures on the tools: outlines on a 16 x 16 field, in the colour of the text around them. */
const ICONS = {
  pan: "M8 1.5v13M1.5 8h13M6 3.5l2-2 2 2M6 12.5l2 2 2-2M3.5 6l-2 2 2 2M12.5 6l2 2-2 2",
  lasso: "M5 10.6C2.9 9.9 1.8 8.5 1.8 6.9 1.8 4.2 4.6 2.2 8 2.200s6.2 2 6.2 4.6-2.8 4.5-6.2 4.500c-.7 0-1.4-.1-2-.2M6.2 11a1.3 1.3 0 1 1-2.5 0 1.3 1.3 0 0 1 2.5 0ZM4.9 12.400c.2 1.2-.5 2-1.6 2.2",
  box: "M2.5 5V2.500H5M11 2.500h2.500V5M13.5 11v2.500H11M5 13.500H2.500V11M7 2.500h2M7 13.500h2M2.5 7v2M13.5 7v2",
  nearer: "M8 3v10M3 8h10",
  farther: "M3 8h10",
  fit: "M2.5 6V2.500H6M10 2.500h3.500V6M13.5 10v3.500H10M6 13.500H2.500V10M6 6h4v4H6Z",
  add: "M9.5 9.500h-7v-7h7ZM6.5 11.500v2h7v-7h-2M4 6h4M6 4v4",
  remove: "M9.5 9.500h-7v-7h7ZM6.5 11.500v2h7v-7h-2M4 6h4",
  invert: "M2.5 2.500h11v11h-11ZM13.5 2.500l-11 11M6.5 9.500v4M9.5 6.500v7M12 4v9.5",
  clear: "M3.5 3.500l9 9M12.5 3.500l-9 9",
  save: "M8 2v8M4.8 7 8 10.2 11.2 7M2.5 11v2.500h11V11",
  help: "M5.8 6a2.2 2.2 0 1 1 3.3 1.900c-.7.4-1.1.8-1.1 1.700M8 12v.4",
  legend: "M2.5 4h1M6 4h7.500M2.5 8h1M6 8h7.500M2.5 12h1M6 12h7.5",
};
const SVG = "http://www.w3.org/2000/svg";
const icon = (name) => {
  const picture = document.createElementNS(SVG, "svg"), line = document.createElementNS(SVG, "path");
  picture.setAttribute("viewBox", "0 0 16 16");
  picture.setAttribute("aria-hidden", "true");
  line.setAttribute("d", ICONS[name]);
  picture.append(line);
  return picture;
};
