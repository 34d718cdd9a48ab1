"""What the people of a sample are called, and what they say: a dozen languages, as many scripts."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Language:
    """``weight``: how many conversations are held in it, against the others."""

    weight: int
    names: tuple[str, ...]
    sayings: tuple[str, ...]


FAMILY_NAMES = (
    "Adeyemi",
    "Andersson",
    "Baptiste",
    "Brown",
    "Çelik",
    "Costa",
    "Dubois",
    "Fischer",
    "García",
    "Haddad",
    "Haugen",
    "Ivanova",
    "Kaya",
    "Kim",
    "Kowalska",
    "Lindqvist",
    "Martin",
    "Mbeki",
    "Moreau",
    "Nakamura",
    "Nguyễn",
    "Novák",
    "O’Connor",
    "Okafor",
    "Öztürk",
    "Papadopoulos",
    "Patel",
    "Peres",
    "Petrov",
    "Rossi",
    "Saito",
    "Silva",
    "Singh",
    "Smith",
    "Tanaka",
    "Virtanen",
    "Wang",
    "Yılmaz",
    "Zhang",
)

TITLES = (
    "The garden",
    "Book club",
    "Release 4.2",
    "Sunday football",
    "Family",
    "Night shift",
    "Réunion du lundi",
    "旅行计画",
    "週末の山登り",
    "Семья",
    "العائلة",
    "Hausgemeinschaft 12",
    "Mutfak",
    "दोस्त",
    "Choir, altos",
    "Lost and found",
)

LANGUAGES = (
    Language(
        8,
        ("Grace", "Oliver", "Maya", "Theo", "Ruth", "Sam"),
        (
            "Did you get the parcel?",
            "On my way, ten minutes.",
            "The tomatoes on the balcony are finally red.",
            "Could you look over the draft before Thursday? I am unsure about the second part.",
            "No rush.",
            "I left the keys with the neighbour on the third floor.",
            "That made my day 😄",
            "The numbers for October are in, and they are better than we feared.",
            "Shall we say half past seven, at the usual place?",
            "I read the letter twice and still do not know what they want. Let us ask somebody.",
            "Yes!",
            "Sorry, I was on the train and there was no signal for an hour.",
        ),
    ),
    Language(
        3,
        ("Camille", "Éloïse", "Jérôme", "Noé"),
        (
            "Tu as bien reçu le colis ?",
            "J’arrive dans dix minutes.",
            "On se retrouve où ? Devant la gare, comme d’habitude ?",
            "Ça marche 👍",
            "Je n’ai pas encore lu la deuxième partie, mais le début est très réussi.",
            "Bon anniversaire ! 🎂",
        ),
    ),
    Language(
        3,
        ("Jürgen", "Käthe", "Lotte", "Matthias"),
        (
            "Hast du den Schlüssel?",
            "Bin gleich da.",
            "Die Straßenbahn fällt heute aus, ich nehme das Fahrrad.",
            "Könntest du bitte die Größe noch einmal prüfen?",
            "Schöne Grüße aus Zürich 🏔️",
            "Morgen früh um acht, wenn es dir passt; sonst gern auch später am Tag.",
        ),
    ),
    Language(
        3,
        ("Ayşe", "Barış", "İpek", "Oğuz"),
        (
            "Yarın görüşelim mi?",
            "Çok teşekkür ederim 🙏",
            "Şu an toplantıdayım, çıkınca ararım.",
            "İkinci bölümü henüz okumadım ama başı çok güzel olmuş.",
            "Kahvaltıya gelirken ekmek alır mısın?",
            "Iğdır’da hava nasıl, kar var mı?",
        ),
    ),
    Language(
        3,
        ("Алексей", "Мария", "Ольга", "Юрий"),
        (
            "Ты получила посылку?",
            "Буду через десять минут.",
            "Посмотри, пожалуйста, черновик до четверга.",
            "Хорошо 👌",
            "Электричку опять отменили, поеду на автобусе.",
            "Ёлку уже поставили?",
        ),
    ),
    Language(
        2,
        ("Γιώργος", "Ελένη", "Νίκος"),
        (
            "Πού είσαι;",
            "Έρχομαι σε δέκα λεπτά.",
            "Τα λέμε αύριο το πρωί στην πλατεία.",
            "Ευχαριστώ πολύ!",
        ),
    ),
    Language(
        3,
        ("أحمد", "فاطمة", "يوسف", "ليلى"),
        (
            "هل وصل الطرد؟",
            "سأصل بعد عشر دقائق.",
            "نلتقي غدًا صباحًا في المكان المعتاد، إن شاء الله.",
            "شكرًا جزيلًا 🌹",
            "الرقم الجديد هو ٠١٢٣، لا تنسَ.",
        ),
    ),
    Language(
        2,
        ("דוד", "נועה", "יעל"),
        ("מתי נפגשים?", "אני בדרך, עשר דקות.", "תודה רבה!", "החבילה הגיעה, היא אצל השכן."),
    ),
    Language(
        3,
        ("अनन्या", "राहुल", "प्रिया"),
        (
            "क्या पार्सल मिल गया?",
            "मैं दस मिनट में पहुँचता हूँ।",
            "कल सुबह वहीं मिलते हैं जहाँ हमेशा मिलते हैं।",
            "धन्यवाद 🙏🏽",
        ),
    ),
    Language(
        2,
        ("สมชาย", "มาลี"),
        ("ถึงไหนแล้ว", "อีกสิบนาทีถึงครับ", "พรุ่งนี้เจอกันที่เดิมนะ", "ขอบคุณมากค่ะ 🙏"),
    ),
    Language(
        4,
        ("小明", "美玲", "志强"),
        (
            "包裹收到了吗？",
            "我十分钟后到。",
            "明天早上老地方见。",
            "好的👌",
            "第二部分我还没看完，不过开头写得很好，等我周四之前把意见整理好发给你。",
        ),
    ),
    Language(
        3,
        ("さくら", "健太", "ひなた"),
        (
            "荷物は届きましたか？",
            "あと十分で着きます。",
            "明日の朝、いつもの場所で。",
            "了解です🙆‍♀️",
            "電車が止まっているので、少し遅れます。先に始めていてください。",
        ),
    ),
    Language(
        3,
        ("민준", "서연"),
        ("택배 받았어요?", "십 분 뒤에 도착해요.", "내일 아침 늘 보던 데서 봐요.", "고마워요 💛"),
    ),
)
