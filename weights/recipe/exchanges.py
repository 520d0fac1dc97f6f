"""Exchanges that follow a rule: sums, opposites, what comes next, and what the person said before.

Every sentence is a whole one with a single slot whose fillers all fit it. Knows no file.
"""

from __future__ import annotations

import random
from collections.abc import Callable

Exchange = list[tuple[str, list[str]]]

OPPOSITES = (
    "hot cold,big small,happy sad,up down,day night,left right,open closed,fast slow,hard soft,old young,long short,"
    "light dark,wet dry,full empty,rich poor,strong weak,high low,early late,good bad,clean dirty,near far,loud quiet,"
    "thick thin,black white,new old,tall short,heavy light,easy difficult,first last,yes no,in out,above below,"
    "love hate,begin end,win lose,give take,push pull,asleep awake,brave afraid,sweet sour,wide narrow,"
    "always never,summer winter,before after,true false"
)
COLOURS = (
    "the sky:blue,grass:green,snow:white,the sun:yellow,a banana:yellow,a tomato:red,coal:black,a carrot:orange,"
    "milk:white,a strawberry:red,a lemon:yellow,a frog:green,an elephant:gray,chocolate:brown,the sea:blue,"
    "a fire engine:red,a leaf:green,a pumpkin:orange,blood:red,a polar bear:white,a pig:pink,the night sky:black,"
    "an orange:orange,a cucumber:green,a cherry:red"
)
SOUNDS = (
    "cow:moo,dog:woof,cat:meow,duck:quack,sheep:baa,pig:oink,lion:roar,bee:buzz,mouse:squeak,horse:neigh,frog:ribbit,"
    "owl:hoot,hen:cluck,snake:hiss,bird:tweet"
)
YOUNG = (
    "dog:a puppy,cat:a kitten,cow:a calf,horse:a foal,sheep:a lamb,pig:a piglet,hen:a chick,duck:a duckling,"
    "bear:a cub,lion:a cub,goat:a kid,frog:a tadpole"
)
KINDS = (
    "an apple:a fruit,a rose:a flower,a dog:an animal,a carrot:a vegetable,"
    "a car:a machine that takes people on the road,"
    "a banana:a fruit,a bed:a piece of furniture,"
    "a chair:a piece of furniture,a piano:an instrument,a guitar:an instrument,"
    "a shirt:a piece of clothing,an oak:a tree,a whale:an animal that lives in the sea,a bee:an insect,"
    "a hammer:a tool,a boat:something that takes people over water,a plane:a machine that flies,a tulip:a flower,"
    "a potato:a vegetable,an ant:an insect,a penguin:a bird that cannot fly,a horse:an animal you can ride,"
    "a doll:a toy,a clock:a thing that shows the time,a bus:a big car for many people,a cake:something sweet to eat,"
    "an umbrella:a thing that keeps you dry in the rain,a spoon:a thing to eat soup with,a lion:a big wild cat"
)
CAPITALS = (
    "France:Paris,England:London,Germany:Berlin,Italy:Rome,Spain:Madrid,Japan:Tokyo,Austria:Vienna,Norway:Oslo,"
    "Sweden:Stockholm,Portugal:Lisbon,Greece:Athens,Ireland:Dublin,Poland:Warsaw,Egypt:Cairo,Russia:Moscow,"
    "China:Beijing,Canada:Ottawa,Finland:Helsinki,Denmark:Copenhagen,Hungary:Budapest"
)
RHYMES = (
    "cat hat,dog frog,sun fun,tree bee,moon spoon,star car,mouse house,cake lake,night light,day play,king ring,"
    "bear chair,goat boat,rain train,book cook,fish dish,sheep sleep,bell shell,snow go,hand sand"
)
PLURALS = (
    "mouse mice,child children,foot feet,tooth teeth,man men,woman women,sheep sheep,cat cats,house houses,leaf leaves,"
    "goose geese,box boxes,baby babies,tree trees,knife knives,dog dogs,city cities,book books"
)
PASTS = (
    "go went,see saw,eat ate,run ran,have had,come came,take took,make made,say said,give gave,find found,write wrote,"
    "think thought,swim swam,sing sang,play played,walk walked,buy bought,sleep slept,fly flew,know knew"
)
ALIKE = (
    "happy glad,big large,small little,fast quick,begin start,sad unhappy,smart clever,nice kind,angry mad,"
    "pretty beautiful,hard difficult,quiet silent,end finish,scared afraid,rich wealthy,sleepy tired,shut close"
)
TOOLS = (
    "spoon:eat soup,knife:cut bread,pen:write,brush:paint,bed:sleep,hammer:hit nails,broom:sweep the floor,"
    "key:open a door,lamp:see in the dark,towel:get dry,pot:cook,phone:talk to people who are far away,"
    "clock:see what time it is,map:find the way,needle:sew,ladder:climb up,boat:travel on water,bag:carry things"
)
ABLE = (
    "bird:fly:yes,fish:swim:yes,dog:bark:yes,cat:climb trees:yes,horse:run fast:yes,duck:swim:yes,bee:fly:yes,"
    "frog:jump:yes,owl:see at night:yes,parrot:learn words:yes,dog:fly:no,cow:fly:no,fish:walk:no,snake:run:no,"
    "tree:talk:no,stone:swim:no,cat:drive a car:no,snail:run fast:no,elephant:fly:no,penguin:fly:no,book:eat:no"
)
LIKED_ANIMALS = (
    "dogs:friendly,cats:soft,horses:strong,rabbits:soft and quick,elephants:big and gentle,birds:free,"
    "bears:strong,mice:small and clever,owls:wise,dolphins:playful,penguins:funny,bees:busy,butterflies:beautiful"
)
LIKED_THINGS = (
    "summer:warm and bright,winter:white and quiet,rain:good for the flowers,snow:white and soft,flowers:beautiful,"
    "books:full of stories,stories:fun,trees:tall and green,the sea:wide and blue,the moon:bright,poems:short and sweet"
)
BIGGER = (
    "elephant mouse,horse cat,whale dog,house car,lion ant,cow hen,tree flower,bear bee,bus bike,giraffe rabbit,"
    "ship boat,mountain hill,dog frog,city village"
)
DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
MONTHS = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
]
SPELLED = [
    "cat",
    "dog",
    "sun",
    "hat",
    "book",
    "tree",
    "fish",
    "bird",
    "moon",
    "star",
    "milk",
    "home",
    "hand",
    "door",
    "rain",
    "snow",
    "cake",
    "love",
    "word",
    "token",
    "head",
    "apple",
    "house",
    "water",
    "green",
    "happy",
    "bread",
    "horse",
]
NAMES = [
    "Tom",
    "Anna",
    "Ben",
    "Lucy",
    "Sam",
    "Mia",
    "Jack",
    "Lily",
    "Max",
    "Emma",
    "Tim",
    "Sara",
    "Leo",
    "Nina",
    "Paul",
    "Ella",
    "Peter",
    "Julia",
    "David",
    "Maria",
    "John",
    "Kate",
    "Mark",
    "Sophie",
    "Daniel",
    "Laura",
    "Alex",
    "Amy",
    "Robert",
    "Jane",
    "Omar",
    "Aisha",
    "Chen",
    "Yuki",
    "Ravi",
    "Ines",
]
PETS = [
    "Rex",
    "Bella",
    "Luna",
    "Fluffy",
    "Max",
    "Coco",
    "Buddy",
    "Daisy",
    "Milo",
    "Lucky",
    "Spot",
    "Socks",
    "Nala",
    "Oscar",
    "Rosie",
    "Tiger",
    "Bruno",
    "Ginger",
]
PLACES = [
    "London",
    "Paris",
    "Berlin",
    "Rome",
    "Madrid",
    "Tokyo",
    "Boston",
    "Chicago",
    "Dublin",
    "Vienna",
    "Oslo",
    "Cairo",
    "Delhi",
    "Sydney",
    "Toronto",
    "Lima",
]
FOODS = [
    "pizza",
    "soup",
    "pasta",
    "rice",
    "chocolate",
    "ice cream",
    "pancakes",
    "cheese",
    "fish",
    "bread",
    "apples",
    "strawberries",
    "salad",
    "noodles",
]
HUES = ["blue", "red", "green", "yellow", "purple", "orange", "pink", "black", "white", "brown"]
JOBS = [
    "a teacher",
    "a nurse",
    "a cook",
    "a farmer",
    "a doctor",
    "a singer",
    "a driver",
    "a gardener",
    "a painter",
    "a baker",
    "a writer",
]
PLANS = [
    "visit my grandma",
    "go to the park",
    "bake a cake",
    "play football",
    "go swimming",
    "read a book",
    "meet a friend",
    "clean my room",
    "plant flowers",
    "go to the zoo",
    "ride my bike",
    "watch a movie",
]


def exchange(asked: list[str], answered: list[str]) -> Exchange:
    return [("user", asked), ("assistant", answered)]


def pair(dice: random.Random, table: str, mark: str = ":") -> tuple[str, str]:
    first, second = dice.choice(table.split(",")).split(mark)
    return first, second


def addition(dice: random.Random) -> Exchange:
    a, b = dice.randint(0, 10), dice.randint(0, 10)
    asked = [f"What is {a} plus {b}?", f"{a} + {b}", f"How much is {a} plus {b}?", f"What is {a} + {b}?", f"{a}+{b}=?"]
    return exchange(asked, [f"{a} plus {b} is {a + b}."])


def subtraction(dice: random.Random) -> Exchange:
    a = dice.randint(1, 10)
    b = dice.randint(0, a)
    asked = [f"What is {a} minus {b}?", f"{a} - {b}", f"How much is {a} minus {b}?", f"What is {a} - {b}?"]
    return exchange(asked, [f"{a} minus {b} is {a - b}."])


def opposite(dice: random.Random) -> Exchange:
    words = list(pair(dice, OPPOSITES, " "))
    if (" ".join(words)) not in ("new old", "tall short", "heavy light"):  # these go one way only
        dice.shuffle(words)
    a, b = words
    asked = [
        f"What is the opposite of {a}?",
        f"What's the opposite of {a}?",
        f"Opposite of {a}?",
        f"{a} is the opposite of what?",
    ]
    return exchange(asked, [f"The opposite of {a} is {b}."])


def colour(dice: random.Random) -> Exchange:
    thing, hue = pair(dice, COLOURS)
    asked = [
        f"What color is {thing}?",
        f"What colour is {thing}?",
        f"Which color is {thing}?",
        f"Tell me the color of {thing}.",
    ]
    return exchange(asked, [f"{thing[0].upper()}{thing[1:]} is {hue}."])


def sound(dice: random.Random) -> Exchange:
    animal, cry = pair(dice, SOUNDS)
    asked = [f"What does a {animal} say?", f"What sound does a {animal} make?", f"Which sound does a {animal} make?"]
    article = "An" if animal[0] in "aeiou" else "A"
    asked = [text.replace(" a owl", " an owl") for text in asked]
    return exchange(asked, [f"{article} {animal} says {cry}."])


def young(dice: random.Random) -> Exchange:
    animal, child = pair(dice, YOUNG)
    asked = [
        f"What is a baby {animal} called?",
        f"What do you call a baby {animal}?",
        f"What is a young {animal} called?",
    ]
    return exchange(asked, [f"A baby {animal} is called {child}."])


def kind(dice: random.Random) -> Exchange:
    thing, what = pair(dice, KINDS)
    asked = [f"What is {thing}?", f"What's {thing}?", f"Tell me what {thing} is.", f"Do you know what {thing} is?"]
    return exchange(asked, [f"{thing[0].upper()}{thing[1:]} is {what}."])


def bigger(dice: random.Random) -> Exchange:
    big, small = pair(dice, BIGGER, " ")
    a, b = dice.sample([big, small], 2)

    def one(thing: str) -> str:
        return f"an {thing}" if thing[0] in "aeiou" else f"a {thing}"

    if dice.random() < 0.5:
        asked = [
            f"What is bigger, {one(a)} or {one(b)}?",
            f"Which is bigger, {one(a)} or {one(b)}?",
            f"Is {one(a)} bigger than {one(b)}?",
        ]
        answer = f"{one(big)} is bigger than {one(small)}."
    else:
        asked = [f"What is smaller, {one(a)} or {one(b)}?", f"Which is smaller, {one(a)} or {one(b)}?"]
        answer = f"{one(small)} is smaller than {one(big)}."
    return exchange(asked, [answer[0].upper() + answer[1:]])


def next_in_row(dice: random.Random) -> Exchange:
    row, what = dice.choice([(DAYS, "day"), (MONTHS, "month")])
    place = dice.randrange(len(row))
    this, after, before = row[place], row[(place + 1) % len(row)], row[place - 1]
    if dice.random() < 0.6:
        return exchange(
            [f"What {what} comes after {this}?", f"Which {what} comes after {this}?", f"What comes after {this}?"],
            [f"{after} comes after {this}."],
        )
    return exchange(
        [f"What {what} comes before {this}?", f"Which {what} comes before {this}?", f"What comes before {this}?"],
        [f"{before} comes before {this}."],
    )


def next_number(dice: random.Random) -> Exchange:
    number = dice.randint(1, 20)
    asked = [f"What number comes after {number}?", f"What comes after {number}?", f"Which number comes after {number}?"]
    return exchange(asked, [f"{number + 1} comes after {number}."])


def spelling(dice: random.Random) -> Exchange:
    word = dice.choice(SPELLED)
    asked = [f"How do you spell {word}?", f"Spell {word}.", f"Can you spell {word}?", f"Spell the word {word}."]
    return exchange(asked, [f"{'-'.join(word.upper())}."])


def saying(dice: random.Random) -> Exchange:
    word = dice.choice([*SPELLED, *HUES, *FOODS, "hello", "yes", "good morning", "I am happy", "thank you"])
    return exchange(
        [f"Say {word}.", f"Please say {word}.", f"Can you say {word}?", f"Repeat: {word}"],
        [f"{word[0].upper()}{word[1:]}."],
    )


def capital(dice: random.Random) -> Exchange:
    country, city = pair(dice, CAPITALS)
    asked = [
        f"What is the capital of {country}?",
        f"What's the capital of {country}?",
        f"Which city is the capital of {country}?",
        f"Tell me the capital of {country}.",
        f"What is the capital city of {country}?",
    ]
    return exchange(asked, [f"The capital of {country} is {city}."])


def rhyme(dice: random.Random) -> Exchange:
    a, b = pair(dice, RHYMES, " ")
    asked = [f"What rhymes with {a}?", f"Tell me a word that rhymes with {a}.", f"Which word rhymes with {a}?"]
    return exchange(asked, [f"{b.capitalize()} rhymes with {a}."])


def form(dice: random.Random) -> Exchange:
    if dice.random() < 0.5:
        one, many = pair(dice, PLURALS, " ")
        asked = [f"What is the plural of {one}?", f"What's the plural of {one}?", f"Tell me the plural of {one}."]
        return exchange(asked, [f"The plural of {one} is {many}."])
    now, then = pair(dice, PASTS, " ")
    asked = [f"What is the past tense of {now}?", f"What is the past of {now}?", f"Tell me the past tense of {now}."]
    return exchange(asked, [f"The past tense of {now} is {then}."])


def alike(dice: random.Random) -> Exchange:
    a, b = pair(dice, ALIKE, " ")
    asked = [
        f"What is another word for {a}?",
        f"Tell me another word for {a}.",
        f"What is a synonym for {a}?",
        f"Which word means the same as {a}?",
    ]
    return exchange(asked, [f"Another word for {a} is {b}."])


def tool(dice: random.Random) -> Exchange:
    thing, use = pair(dice, TOOLS)
    asked = [f"What is a {thing} for?", f"What do you do with a {thing}?", f"What can I do with a {thing}?"]
    return exchange(asked, [f"With a {thing} you can {use}."])


def able(dice: random.Random) -> Exchange:
    who, act, truth = dice.choice(ABLE.split(",")).split(":")
    one = f"an {who}" if who[0] in "aeiou" else f"a {who}"
    asked = [f"Can {one} {act}?", f"Is it true that {one} can {act}?"]
    return exchange(asked, [f"Yes, {one} can {act}." if truth == "yes" else f"No, {one} cannot {act}."])


def larger_number(dice: random.Random) -> Exchange:
    a, b = dice.sample(range(1, 21), 2)
    asked = [f"Which is bigger, {a} or {b}?", f"What is bigger, {a} or {b}?", f"Which number is larger, {a} or {b}?"]
    return exchange(asked, [f"{max(a, b)} is bigger than {min(a, b)}."])


def even_or_odd(dice: random.Random) -> Exchange:
    number = dice.randint(1, 20)
    kind = "odd" if number % 2 else "even"
    return exchange([f"Is {number} even or odd?", f"Is {number} odd or even?"], [f"{number} is {kind}."])


def liking(dice: random.Random) -> Exchange:
    chance = dice.random()
    if chance < 0.35:
        food = dice.choice(FOODS)
        asked = [f"Do you like {food}?", f"Do you like to eat {food}?"]
        return exchange(asked, [f"I can't eat, but {food} must be good. Do you like {food}?"])
    animals = chance < 0.7
    thing, why = pair(dice, LIKED_ANIMALS if animals else LIKED_THINGS)
    verb = "are" if animals or thing in ("flowers", "books", "stories", "trees", "poems") else "is"
    pronoun = "They" if verb == "are" else "It"
    asked = [f"Do you like {thing}?", f"What do you think about {thing}?", f"Don't you like {thing}?"]
    return exchange(asked, [f"I like {thing}. {pronoun} {verb} {why}.", f"Yes! {pronoun} {verb} {why}. And you?"])


RULES: tuple[tuple[Callable[[random.Random], Exchange], int], ...] = (
    (addition, 8),
    (subtraction, 5),
    (opposite, 5),
    (colour, 3),
    (sound, 2),
    (young, 2),
    (kind, 3),
    (bigger, 2),
    (next_in_row, 3),
    (next_number, 1),
    (spelling, 1),
    (saying, 2),
    (capital, 3),
    (rhyme, 2),
    (form, 2),
    (alike, 2),
    (tool, 2),
    (able, 2),
    (larger_number, 1),
    (even_or_odd, 1),
    (liking, 4),
)


def by_rule(dice: random.Random) -> Exchange:
    makers, weights = zip(*RULES, strict=True)
    made: Exchange = dice.choices(makers, weights)[0](dice)
    return made


def told(dice: random.Random) -> tuple[Exchange, Exchange]:
    """Something the person says about themselves, and the question, turns later, that needs it."""
    return dice.choice((name_told, name_told, pet_told, place_told, food_told, colour_told, job_told, plan_told))(dice)


def name_told(dice: random.Random) -> tuple[Exchange, Exchange]:
    name = dice.choice(NAMES)
    first = exchange(
        [
            f"My name is {name}.",
            f"I'm {name}.",
            f"Hi, I am {name}.",
            f"Hello, my name is {name}.",
            f"You can call me {name}.",
        ],
        [f"Nice to meet you, {name}!", f"Hello, {name}! How are you?", f"It is nice to meet you, {name}."],
    )
    asked = ["What is my name?", "What's my name?", "Do you know my name?", "Who am I?", "Do you remember my name?"]
    return first, exchange(asked, [f"Your name is {name}."])


def pet_told(dice: random.Random) -> tuple[Exchange, Exchange]:
    pet, name = dice.choice(("dog", "cat", "rabbit", "bird", "horse")), dice.choice(PETS)
    first = exchange(
        [f"I have a {pet} called {name}.", f"My {pet} is called {name}.", f"I have a {pet}. Its name is {name}."],
        [
            f"{name} is a good name for a {pet}!",
            f"How nice! I am sure {name} is a lovely {pet}.",
            f"I like that name! Is {name} friendly?",
        ],
    )
    asked = [f"What is my {pet} called?", f"What is the name of my {pet}?", f"Do you remember the name of my {pet}?"]
    return first, exchange(asked, [f"Your {pet} is called {name}."])


def place_told(dice: random.Random) -> tuple[Exchange, Exchange]:
    place = dice.choice(PLACES)
    first = exchange(
        [f"I live in {place}.", f"I am from {place}.", f"I come from {place}."],
        [
            f"How nice! Do you like {place}?",
            f"{place} is a big city. Is it nice there?",
            f"What do you like about {place}?",
        ],
    )
    asked = ["Where am I from?", "Which city am I from?", "Do you remember where I am from?"]
    return first, exchange(asked, [f"You are from {place}."])


def food_told(dice: random.Random) -> tuple[Exchange, Exchange]:
    food = dice.choice(FOODS)
    first = exchange(
        [f"My favorite food is {food}.", f"I like {food} best.", f"I love to eat {food}."],
        [
            f"Good choice! {food[0].upper()}{food[1:]} must be very good.",
            f"That sounds tasty. How often do you eat {food}?",
        ],
    )
    asked = ["What is my favorite food?", "What do I like to eat?", "Do you remember my favorite food?"]
    return first, exchange(asked, [f"You like {food}."])


def colour_told(dice: random.Random) -> tuple[Exchange, Exchange]:
    hue = dice.choice(HUES)
    first = exchange(
        [f"My favorite color is {hue}.", f"I like {hue} best.", f"{hue[0].upper()}{hue[1:]} is my favorite color."],
        [
            f"I like {hue}, too!",
            f"{hue[0].upper()}{hue[1:]} is a beautiful color.",
            f"Good choice! Do you wear {hue} clothes?",
        ],
    )
    asked = ["What is my favorite color?", "Which color do I like?", "Do you remember my favorite color?"]
    return first, exchange(asked, [f"Your favorite color is {hue}."])


def job_told(dice: random.Random) -> tuple[Exchange, Exchange]:
    job = dice.choice(JOBS)
    first = exchange(
        [f"I am {job}.", f"I work as {job}.", f"I'm {job}."],
        [
            "How interesting! Do you like your work?",
            "That is a good thing to do. Is it hard?",
            "Nice! What do you like about it?",
        ],
    )
    asked = ["What is my job?", "What do I do?", "Do you remember my job?"]
    return first, exchange(asked, [f"You are {job}."])


def plan_told(dice: random.Random) -> tuple[Exchange, Exchange]:
    plan = dice.choice(PLANS)
    first = exchange(
        [f"Tomorrow I will {plan}.", f"I want to {plan} tomorrow.", f"I am going to {plan} tomorrow."],
        [
            "That sounds nice! Have fun.",
            "What a good plan! Are you looking forward to it?",
            "How nice! I hope you enjoy it.",
        ],
    )
    asked = ["What will I do tomorrow?", "What is my plan for tomorrow?", "Do you remember my plan?"]
    return first, exchange(asked, [f"Tomorrow you will {plan.replace('my ', 'your ')}."])
