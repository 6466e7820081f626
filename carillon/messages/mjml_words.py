"""The tags and attributes of MJML 4, because the engine passes unknown ones silently into the mail."""

from __future__ import annotations

_BOX = "padding padding-top padding-right padding-bottom padding-left"
_BACK = "background-color background-url background-repeat background-size background-position background-position-x background-position-y"
_BORDER = "border border-top border-right border-bottom border-left border-radius"
_FONT = "color font-family font-size font-style font-weight letter-spacing line-height text-decoration text-transform"
_LINK = "href rel target title name"
_ICON = "icon-position icon-height icon-width icon-size icon-padding text-padding"
_INNER = "inner-background-color inner-border inner-border-top inner-border-right inner-border-bottom inner-border-left inner-border-radius inner-padding"

_TAGS: dict[str, str] = {
    "mjml": "owa lang dir xmlns",
    "mj-head": "",
    "mj-body": "background-color width lang dir id",
    "mj-title": "",
    "mj-preview": "",
    "mj-style": "inline",
    "mj-font": "name href",
    "mj-breakpoint": "width",
    "mj-attributes": "",
    "mj-html-attributes": "",
    "mj-selector": "path",
    "mj-html-attribute": "name",
    "mj-raw": "position",
    "mj-include": "path type",
    "mj-section": f"{_BACK} {_BORDER} {_BOX} direction full-width text-align text-padding",
    "mj-wrapper": f"{_BACK} {_BORDER} {_BOX} direction full-width text-align text-padding gap",
    "mj-group": "background-color direction vertical-align width",
    "mj-column": f"background-color {_BORDER} {_BOX} {_INNER} direction vertical-align width",
    "mj-text": f"{_FONT} {_BOX} align container-background-color height",
    "mj-button": f"{_FONT} {_LINK} {_BORDER} {_BOX} align background-color container-background-color height inner-padding text-align "
    "vertical-align width text-padding",
    "mj-image": f"{_LINK} {_BORDER} {_BOX} align alt container-background-color fluid-on-mobile font-size height max-height sizes src "
    "srcset usemap width",
    "mj-divider": f"{_BOX} align border-color border-style border-width container-background-color width",
    "mj-spacer": f"{_BOX} container-background-color height",
    "mj-table": f"{_FONT} {_BOX} align border cellpadding cellspacing container-background-color role table-layout text-align width",
    "mj-hero": f"{_BACK} {_BOX} align border-radius container-background-color background-height background-width height inner-background-color "
    "inner-padding inner-padding-top inner-padding-right inner-padding-bottom inner-padding-left mode vertical-align width",
    "mj-navbar": f"align base-url hamburger {_BOX} container-background-color "
    + " ".join(
        f"ico-{x}"
        for x in [
            "align",
            "close",
            "color",
            "font-family",
            "font-size",
            "line-height",
            "open",
            "padding",
            "padding-top",
            "padding-right",
            "padding-bottom",
            "padding-left",
            "text-decoration",
            "text-transform",
        ]
    ),
    "mj-navbar-link": f"{_FONT} {_LINK} {_BOX}",
    "mj-social": f"{_FONT} {_BOX} {_ICON} align border-radius container-background-color inner-padding mode table-layout",
    "mj-social-element": f"{_FONT} {_LINK} {_BOX} {_ICON} align alt background-color border-radius src srcset sizes vertical-align",
    "mj-carousel": "align background-color border-radius icon-width left-icon right-icon tb-border tb-border-radius tb-hover-border-color "
    "tb-selected-border-color tb-width thumbnails container-background-color",
    "mj-carousel-image": f"{_LINK} alt border-radius src tb-border tb-border-radius thumbnails-src",
    "mj-accordion": f"{_BOX} border container-background-color font-family icon-align icon-height icon-position icon-unwrapped-alt "
    "icon-unwrapped-url icon-width icon-wrapped-alt icon-wrapped-url",
    "mj-accordion-element": "background-color border font-family icon-align icon-height icon-position icon-unwrapped-alt icon-unwrapped-url "
    "icon-width icon-wrapped-alt icon-wrapped-url",
    "mj-accordion-title": f"{_BOX} background-color color font-family font-size font-weight",
    "mj-accordion-text": f"{_BOX} background-color color font-family font-size font-weight letter-spacing line-height",
}

KNOWN: dict[str, frozenset[str]] = {
    tag: frozenset(attributes.split()) | ({"css-class", "mj-class"} if tag.startswith("mj-") else set())
    for tag, attributes in _TAGS.items()
}
"""Tag → its attributes. Inside `mj-attributes` any tag may also carry what `mj-all` and `mj-class` allow."""

ANY_ATTRIBUTE: frozenset[str] = frozenset().union(*KNOWN.values(), {"name"})

KNOWN |= {"mj-all": ANY_ATTRIBUTE, "mj-class": ANY_ATTRIBUTE}
