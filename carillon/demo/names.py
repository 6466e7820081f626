"""Who the people of the generated shop are: names in their own script beside the letters of their address."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Culture:
    """Names as people write them, each with its spelling in an e-mail address; `a|b` where the two differ."""

    language: str
    first: tuple[str, ...]
    last: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Land:
    """A country: how much of the shop it is, its cities, its mobile numbers, and which cultures live there."""

    code: str
    share: float
    cities: tuple[str, ...]
    phones: tuple[tuple[str, int], ...]
    """(prefix, digits behind it): patterns that are valid there."""
    cultures: tuple[tuple[str, float], ...]
    zones: tuple[str, ...] = ()
    """Where the country has more than one zone: the zone of each city."""


def _pairs(text: str) -> tuple[str, ...]:
    return tuple(text.split())


CULTURES: dict[str, Culture] = {
    "german": Culture(
        "de",
        _pairs("Anna Ben Clara Emil Frieda Greta Hannes Ida Jonas Klara Lena Moritz Nele Paul Rosa Theo Uwe Mia "
               "Jörg|joerg Käthe|kaethe Günter|guenter Zoë|zoe"),
        _pairs("Weber Schmidt Fischer Wagner Becker Hoffmann Schulz Koch Richter Wolf Neumann Schwarz Zimmermann Braun "
               "Müller|mueller Krüger|krueger Schröder|schroeder Groß|gross Jäger|jaeger"),
    ),
    "english": Culture(
        "en",
        _pairs("Alice Ben Chloe Daniel Emma Finn Grace Harry Isla Jack Kate Liam Mary Noah Olivia Peter Ruby Sam"),
        _pairs("Smith Jones Taylor Brown Wilson Evans Walker Wright Hall Green Baker Price Cooper Ward O'Brien|obrien "
               "McKenzie|mckenzie Smythe-Jones|smythe-jones"),
    ),
    "french": Culture(
        "fr",
        _pairs("Amélie|amelie Benoît|benoit Camille Élodie|elodie François|francois Gaëlle|gaelle Hugo Inès|ines "
               "Jules Léa|lea Mathieu Noémie|noemie Thérèse|therese"),
        _pairs("Martin Bernard Dubois Laurent Moreau Lefèvre|lefevre Girard Rousseau Blanc Guérin|guerin Fournier"),
    ),
    "polish": Culture(
        "pl",
        _pairs("Agnieszka Bartosz Łukasz|lukasz Małgorzata|malgorzata Paweł|pawel Zofia Żaneta|zaneta"),
        _pairs("Nowak Kowalski Wiśniewska|wisniewska Wójcik|wojcik Zieliński|zielinski Dąbrowska|dabrowska"),
    ),
    "turkish": Culture(
        "tr",
        _pairs("Ayşe|ayse Çağla|cagla Emre İbrahim|ibrahim Ömer|oemer Şule|sule Yasemin"),
        _pairs("Yılmaz|yilmaz Kaya Demir Çelik|celik Şahin|sahin Öztürk|oeztuerk Aydın|aydin"),
    ),
    "ukrainian": Culture(
        "uk",
        _pairs("Олена|olena Андрій|andrii Наталія|nataliia Тарас|taras Ірина|iryna Дмитро|dmytro"),
        _pairs("Шевченко|shevchenko Коваль|koval Бондаренко|bondarenko Мельник|melnyk Ткаченко|tkachenko"),
    ),
    "greek": Culture(
        "el",
        _pairs("Ελένη|eleni Γιώργος|giorgos Μαρία|maria Νίκος|nikos Σοφία|sofia"),
        _pairs("Παπαδοπούλου|papadopoulou Νικολάου|nikolaou Γεωργίου|georgiou Δημητρίου|dimitriou"),
    ),
    "arabic": Culture(
        "ar",
        _pairs("أمينة|amina عمر|omar ليلى|layla يوسف|yusuf نور|nur"),
        _pairs("حداد|haddad منصور|mansour الخطيب|alkhatib سليمان|suleiman"),
    ),
    "chinese": Culture(
        "zh",
        _pairs("伟|wei 芳|fang 娜|na 秀英|xiuying 敏|min 静|jing"),
        _pairs("王|wang 李|li 张|zhang 刘|liu 陈|chen 杨|yang"),
    ),
    "japanese": Culture(
        "ja",
        _pairs("さくら|sakura 陽翔|haruto 結衣|yui 蓮|ren 美咲|misaki"),
        _pairs("佐藤|sato 鈴木|suzuki 高橋|takahashi 田中|tanaka 渡辺|watanabe"),
    ),
    "hindi": Culture(
        "hi",
        _pairs("प्रिया|priya राहुल|rahul अनन्या|ananya विक्रम|vikram दीपा|deepa"),
        _pairs("शर्मा|sharma वर्मा|varma गुप्ता|gupta सिंह|singh पटेल|patel"),
    ),
    "spanish": Culture(
        "es",
        _pairs("Lucía|lucia José|jose María|maria Íñigo|inigo Carmen Begoña|begona"),
        _pairs("García|garcia Núñez|nunez Fernández|fernandez López|lopez Peña|pena"),
    ),
}  # fmt: skip

LANDS: tuple[Land, ...] = (
    Land("DE", 0.46, ("Berlin", "Hamburg", "München", "Köln", "Leipzig", "Freiburg"), (("+491512", 7), ("+491761", 7)),
         (("german", 0.82), ("turkish", 0.08), ("polish", 0.04), ("ukrainian", 0.03), ("arabic", 0.03))),
    Land("GB", 0.16, ("London", "Leeds", "Bristol", "Glasgow"), (("+447400", 6),),
         (("english", 0.82), ("hindi", 0.09), ("polish", 0.05), ("greek", 0.02), ("chinese", 0.02))),
    Land("AT", 0.11, ("Wien", "Graz", "Linz", "Salzburg"), (("+43664", 7),),
         (("german", 0.9), ("turkish", 0.06), ("ukrainian", 0.04))),
    Land("US", 0.10, ("New York", "San Francisco"),
         tuple((f"+1{area}55501", 2) for area in (202, 212, 312, 415, 617, 713, 206, 305, 404, 503, 602, 702, 720, 919)),
         (("english", 0.72), ("spanish", 0.16), ("chinese", 0.06), ("japanese", 0.03), ("arabic", 0.03)),
         ("America/New_York", "America/Los_Angeles")),
    Land("CH", 0.09, ("Zürich", "Bern", "Basel", "Genève"), (("+4179", 7),),
         (("german", 0.7), ("french", 0.3))),
    Land("FR", 0.05, ("Paris", "Lyon", "Strasbourg"), (("+3361234", 4),), (("french", 0.88), ("arabic", 0.12))),
    Land("IE", 0.03, ("Dublin", "Cork"), (("+353851", 6),), (("english", 0.95), ("polish", 0.05))),
)  # fmt: skip
"""Numbers in the United States are of the range kept for fiction; the others are valid by pattern and may belong to
somebody: this shop is for the sandbox."""


def written(pair: str) -> str:
    """The name as its bearer writes it."""
    return pair.partition("|")[0]


def lettered(pair: str) -> str:
    """The name in the letters of an e-mail address."""
    name, _, spelling = pair.partition("|")
    return spelling or name.lower()
