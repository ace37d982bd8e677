"""Texts over Unicode's wide range, to train small tokenizers on and to compare tokenizers with."""
import sys
import unicodedata

LANGUAGES = [
    "The quick brown fox jumps over the lazy dog. She'll say it's fine, they've gone, I'd stay, we're done, don't, I'm.",
    "IT'S what WE'RE told; You'Ll See, THEY'VE not 'tis 'Twas o'clock rock'n'roll l'été d'accord",
    "Falsches Üben von Xylophonmusik quält jeden größeren Zwerg. Straße, Maß, ÄÖÜ",
    "Voix ambiguë d'un cœur qui au zéphyr préfère les jattes de kiwis. Où? Là-bas: « oui »",
    "El pingüino Wenceslao hizo kilómetros bajo exhaustiva lluvia y frío, añoraba a su querido cachorro. ¿Sí? ¡No!",
    "Zażółć gęślą jaźń. Příliš žluťoučký kůň úpěl ďábelské ódy. Árvíztűrő tükörfúrógép",
    "Съешь же ещё этих мягких французских булок, да выпей чаю. Українська їжачок. Ѣ ѳ",
    "Ξεσκεπάζω την ψυχοφθόρα βδελυγμία. Τάχιστη αλώπηξ βαφής ψημένη γη ὦ ἄνδρες Ἀθηναῖοι",
    "דג סקרן שט בים מאוכזב ולפתע מצא חברה. שָׁלוֹם עֲלֵיכֶם",
    "نص حكيم له سر قاطع وذو شأن عظيم مكتوب على ثوب أخضر. السَّلَامُ عَلَيْكُمْ ٱلْكِتَاب ۱۲۳ ٤٥٦",
    "ऋषियों को सताने वाले दुष्ट राक्षसों के राजा रावण का सर्वनाश। नमस्ते दुनिया १२३४५",
    "আমি বাংলায় গান গাই। ক্ষ্ম জ্ঞ শ্রী ১২৩",
    "தமிழ் மொழி மிகவும் பழமையானது. யாதும் ஊரே யாவரும் கேளிர் ௧௨௩",
    "తెలుగు భాష ಕನ್ನಡ ಭಾಷೆ മലയാളം ഭാഷ ગુજરાતી ਪੰਜਾਬੀ ଓଡ଼ିଆ සිංහල",
    "เป็นมนุษย์สุดประเสริฐเลิศคุณค่า กว่าบรรดาฝูงสัตว์เดรัจฉาน ๑๒๓ ນ້ຳ ລາວ",
    "ខ្ញុំស្រឡាញ់ភាសាខ្មែរ កាន់តែពិសេសអាច မြန်မာဘာသာ བོད་སྐད་",
    "天地玄黄，宇宙洪荒。日月盈昃，辰宿列张。我想在apple工作1314151天～ 中文English混合123测试。「引号」《书名》",
    "繁體中文測試：臺灣、香港。㐀㐁𠀀𠀁𡃁 々〆〇 ㈱ ㊙ 龥龦鿿",
    "いろはにほへと ちりぬるを。カタカナ・ひらがな、漢字ー！ｶﾀｶﾅ ヽヾゝゞ ㌔ 東京タワー2023年",
    "키스의 고유조건은 입술끼리 만나야 하고 특별한 기술은 필요치 않다. ㄱㄴㄷ ㅏㅑ 한국어123",
    "Vietnamese: Tiếng Việt có dấu: ắằẳẵặ ếềểễệ ốồổỗộ ứừửữự",
    "Türkçe: İstanbul ıssız IĞDIR şöğüç. Íslenska: þæö ÐÞ. Latviešu: āčēģīķļņšūž",
    "Ελληνικά ΚΕΦΑΛΑΙΑ ς Σ. Ǆ ǅ ǆ ǈ ǋ ǲ ﬁ ﬂ ﬀ ʰ ʲ ˠ ᵃ ᵇ ⁿ ª º",
    "ქართული ენა Ⴀ Ა հայերեն ԱԲԳ አማርኛ ቋንቋ ᏣᎳᎩ ᐃᓄᒃᑎᑐᑦ ᠮᠣᠩᠭᠣᠯ ꓡꓲꓢꓴ",
    "𝓜𝓪𝓽𝓱 𝔄𝔅ℂ 𝟘𝟙𝟚 ①②③ ⅠⅡⅢⅣ ½ ⅓ ² ³ ₁₂ 𐍈𐌰 𐤀𐤁 𓀀𓀁 𞤀𞤁 𞥐𞥑",
    "∀x∈ℝ: ⌈x⌉ = −⌊−x⌋, α ∧ ¬β = ¬(¬α ∨ β), ∑∏∫√∞≠≈≤≥ €£¥₹₿ ©®™ §¶†‡•…‰",
    "🚀 😶‍🌫️ 👨‍👩‍👧‍👦 🏳️‍🌈 👍🏽 🇩🇪🇯🇵 1️⃣ ❤️ ✅ 🦙🦙 ☺︎ ⌚",
]
CODE = [
    "def f(x):\n    return x**2 + 3  # comment\n\n\nclass A:\n\tpass\n",
    "for (int i = 0; i < 100; ++i) {\r\n\tprintf(\"%d\\n\", i);\r\n}\r\n",
    "https://example.com/a/b?c=d&e=f#g user@mail.org C:\\path\\file.txt /usr/lib//x",
    "<div class=\"a\">&nbsp;</div> {\"key\": [1, 2.5, -3e10, null]} $VAR ${x} `cmd` |>|<|||",
    "snake_case camelCase PascalCase SCREAMING_CASE kebab-case HTMLParser iPhone McDonald's XMLHttpRequest",
]
CORNERS = [
    "", " ", "  ", "   ", "\n", "\n\n", "\r\n", "\r", "\t", " \n", "\n ", " \r\n \r\n", "a ", " a", "  a", "a  ", "   a   b   ",
    "a\nb", "a\n\nb", "a \n b", "a\r\nb", "a\r\rb", "a\t\tb", "\t a", " \t\n\r x", "x\n   y", "x\n\n\n   \n", "end\n", "\n\n\nstart",
    "0", "00", "123", "1234", "12345", "1234567", "12345678901234567890", "3.14159", "1,234,567.89", "v1.2.3-beta4", "10:30:00",
    "3 33 333 3333 33333 333333", "१२३४५६७", "٠١٢٣٤٥", "１２３４５", "²³¹", "a1b22c333", "1a2", "Ⅷ9",
    "'s 't 're 've 'm 'll 'd 'S 'T 'RE 'VE 'M 'LL 'D", "it's IT'S It'S don't DON'T we'll WE'LL he'd I'm I'M you've", "'sx 'llama 'dd ''s",
    "\u2019s it\u2019s \u2018t", "it'\u017f", "K'\u212a", "!!!", "...", "?!?!", "--- ___ ***", " !", "! ", "a!b", "!a", "?\n", "!\n\n!", "#!/bin/sh\n",
    "/", "//", "a/b", "!/\n/", "a\u00a0b", "a\u2003b \u2028c\u2029d", "\u3000全角\u3000空白", "\u200b\u200c\u200d\ufeff", "a\u0085b", "\u1680 \u180e \u205f",
    "\x00", "a\x00b", "\x01\x02\x7f", "\x1c\x1d\x1e\x1f x", "\u00ad soft\u00adhyphen", "\ufffd", "\ue000\uf8ff", "\U000f0000",
    "e\u0301", "\u0301e", " \u0301", "a\u0308\u0323b", "Z\u0351\u036b\u0343alg\u0302o", "\u0915\u094d\u0937", "1\u0301", "!\u0301", "\n\u0301",
    "Aa AA aA aaA AAa ABc abC ÀÉ àÉ Éa ǅa aǅ ʰA Aʰ 中A A中 中a あA", "日本語abc日本語", "漢字かな交じりカナ", "中文。English，混合！", "한글abc", "中文1234中文", "\u4e00\u9fa5\u9fa6\u3400",
    "々中々", "〇一二", "中\n文", "中 文", " 中", "ー", "ひら1カタ", "a中1あ!", "\U00020000\U00020001 \U0002ffff",
]


def blocks(per_text=40, keep=lambda c: True):
    """Every assigned character of Unicode 14 that `keep` lets pass, in four surroundings, as texts of `per_text` characters."""
    texts, now = [], []
    for code in range(sys.maxunicode + 1):
        c = chr(code)
        if unicodedata.category(c) in ("Cn", "Cs", "Co") or not keep(c):
            continue
        if 0x3500 <= code < 0x9F00 or 0xAC80 <= code < 0xD700 or 0x17100 <= code < 0x18C00 or 0x20080 <= code:
            if code % 97:
                continue  # Han, Hangul and Tangut in samples
        now.append(f"a{c}b {c}{c}1{c}\n")
        if len(now) == per_text:
            texts.append("".join(now))
            now = []
    return texts + ["".join(now)]


def is_plain(c):
    """No mark, and no letter with a case beyond ASCII."""
    category = unicodedata.category(c)
    return category[0] != "M" and (c.isascii() or category not in ("Lu", "Ll", "Lt"))


def has_plain_words(text):
    """No marks, no long s, and inside of words no capital letter beside a letter beyond ASCII."""
    if any(unicodedata.category(c)[0] == "M" or c == "\u017f" for c in text):
        return False
    return not any(a.isalpha() and unicodedata.category(b) in ("Lu", "Lt") and not (a + b).isascii() for a, b in zip(text, text[1:]))


def is_ideograph(c):
    """No Han character beside the ideographs up to Unicode 12: radicals, iteration marks and numerals are."""
    code = ord(c)
    return not (0x2E80 <= code < 0x2FE0 or code in (0x3005, 0x3007, 0x16FE2, 0x16FE3) or 0x3021 <= code < 0x302A or 0x3038 <= code < 0x303C
                or 0x30000 <= code < 0x32000)


def changes_case(text):
    """A capital letter follows another kind of letter."""
    return any(a.isalpha() and unicodedata.category(a) not in ("Lu", "Lt") and unicodedata.category(b) in ("Lu", "Lt")
               for a, b in zip(text, text[1:]))


def nfc(texts):
    return [unicodedata.normalize("NFC", text) for text in texts]
