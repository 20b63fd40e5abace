"""What the demo agency is made of. Days count from today: -3 is three days ago."""

# ruff: noqa: E501 - a row of a table stands on one line

DOMAIN = "idyll.example"

# username | name | role | how they came | day | location | software
PEOPLE = """
meera  | Meera Kapoor    | owner     | made       | -60 | Mumbai    | Frame.io
arjun  | Arjun Nair      | moderator | made       | -59 | Kochi     | Premiere Pro
sofia  | Sofia Fernandes | moderator | promoted   | -58 | Panaji    | DaVinci Resolve, Frame.io
asha   | Asha Verma      | editor    | applied    | -55 | Pune      | DaVinci Resolve
ravi   | Ravi Iyer       | editor    | applied    | -54 | Chennai   | Premiere Pro, After Effects
kabir  | Kabir Singh     | editor    | made       | -52 | Delhi     | Final Cut Pro
leela  | Leela Menon     | editor    | applied    | -50 | Kochi     | DaVinci Resolve, Fusion
dev    | Dev Patel       | editor    | registered | -47 | Ahmedabad | Premiere Pro
nisha  | Nisha Rao       | editor    | registered | -44 | Bengaluru | After Effects
tariq  | Tariq Khan      | editor    | made       | -41 | Lucknow   | Premiere Pro, Audition
pooja  | Pooja Desai     | editor    | waiting    | -2  | Surat     | CapCut, Premiere Pro
vikram | Vikram Joshi    | editor    | rejected   | -20 | Indore    | CapCut
karan  | Karan Malhotra  | editor    | removed    | -53 | Jaipur    | Final Cut Pro
"""

# name | e-mail's first part | what they do | day | decision | message
APPLICATIONS = """
Isha Banerjee | isha  | Colourist           | -1  | pending  | Three years of short films; reel in the link.
Isha Banerjee | isha  | Colourist           | -1  | pending  | Sorry, this is the right link.
Joel D'Souza  | joel  | Motion designer     | -4  | pending  | I do titles and lower thirds, also by the week.
Farah Sheikh  | farah | Editor for vertical | -6  | pending  | Reels and shorts, ten a day if need be.
Neel Gupta    | neel  | Editor              | -15 | rejected | Learning since March.
"""
REJECTION = "Thank you! We look for somebody with more long films; please come back in a year."

# name | editor | priority | deadline | how it went | payout | description | what blocks it
TASKS = """
Sharma wedding: four-minute film       | asha  | high   | -31 | approved | 18000 paid     | Keep both speeches.
Sharma wedding: teaser for Instagram   | asha  | medium | -29 | approved | 4500 paid      | Vertical, under 60 seconds.
Kulkarni engagement: highlights        | ravi  | medium | -30 | approved | 9000 paid      | Music is licensed, see the folder.
Chai Adda: monsoon spot                | kabir | high   | -28 | again-ok | 22500.50 paid  | Thirty and fifteen seconds.
Podcast "Ghar Ki Baat": episode 11     | tariq | low    | -28 | approved | 3500 paid      | Cut the first ten minutes.
Podcast "Ghar Ki Baat": episode 12     | tariq | low    | -21 | approved | 3500 paid      | Guest's microphone hums at 50 Hz.
Old Goa travel diary                   | karan | medium | -26 | approved | 12000 paid     | Slow, without narration.
Backwater houseboat: 90 seconds        | karan | low    | -24 | approved | 7000 approved  | For the hotel's lobby screen.
Mehta sangeet: dance reel              | leela | high   | -22 | again-ok | 8000 paid      | Sync every cut to the dhol.
Mehta wedding: long film               | leela | high   | -18 | approved | 32000 approved | Forty minutes, three chapters.
Cricket academy: admissions film       | ravi  | medium | -19 | approved | 15000 approved | Subtitles in Hindi and English.
Yoga with Radhika: lesson 1            | nisha | medium | -17 | approved | 5000 paid      | Colour as in the trailer.
Yoga with Radhika: lesson 2            | nisha | medium | -15 | again-ok | 5000 approved  | Colour as in lesson 1.
Startup pitch: Krishi Drone            | dev   | high   | -16 | approved | 11000 rejected | Two minutes, logo in the corner.
Jewellery catalogue: macro loops       | kabir | low    | -14 | approved | 6000 cancelled | Six loops of five seconds.
Birthday film: Aarav turns one         | asha  | low    | -13 | approved | 4000 pending   | Photos and clips mixed.
Temple festival: aerial shots          | ravi  | medium | -12 | approved | 9500 pending   | No shots of the crowd's faces.
Restaurant reel: Malabar biryani       | leela | medium | -11 | again-ok | 4200 pending   | First two seconds must steam.
School annual day: full recording      | dev   | low    | -10 | approved | 14000 pending  | Chapters for every class.
Fitness app: onboarding clips          | nisha | high   | -9  | approved | -              | Five clips, 1080 by 1920.
Handloom story: Kanchipuram            | asha  | medium | -8  | approved | -              | Interview in Tamil, subtitles exist.
Product launch: SoundBar X             | kabir | high   | -7  | again-ok | -              | Embargo until the launch.
Podcast "Ghar Ki Baat": episode 13     | tariq | low    | -7  | approved | -              | Ad break at 21:00.
Iyer wedding: four-minute film         | ravi  | high   | -5  | in       |                | Groom's entry opens the film.
Iyer wedding: teaser                   | ravi  | medium | -4  | in       |                | Vertical.
Yoga with Radhika: lesson 3            | nisha | medium | -3  | in       |                | New outro from lesson 4 on.
Hospital: thank-you film for nurses    | leela | high   | -2  | again    |                | Names must be checked with HR.
Book launch: "Salt Roads"              | dev   | low    | -1  | in       |                | Author reads one page.
Music video: "Barish" rough cut        | kabir | high   | 1   | in       |                | Rough cut only, no grading.
Real estate: Green Meadows tour        | asha  | medium | 2   | again    |                | Drone shots first.
Bakery shorts: a week of seven         | leela | low    | 2   | in       |                | Seven files, same opening.
Podcast "Ghar Ki Baat": episode 14     | tariq | low    | 3   | in       |                | Two guests, two cameras.
Chai Adda: winter spot                 | kabir | high   | -2  | changes  |                | Client wants more steam.
Rao reception: highlights              | asha  | medium | -1  | changes  |                | Shorten to three minutes.
Trek diary: Valley of Flowers          | ravi  | low    | 4   | changes  |                | Wind noise at the pass.
Dance school: recital in two cameras   | dev   | medium | 5   | changes  |                | Camera B is nine frames late.
E-learning: photosynthesis             | nisha | medium | 6   | changes  |                | Arrows point the wrong way.
Election explainer: how votes are sent | tariq | high   | -3  | started  |                | Neutral music.
Sari shop: Diwali spot                 | leela | high   | -1  | started  |                | Twenty seconds, Marathi.
Mehta wedding: parents' edition        | leela | low    | 9   | started  |                | Every guest once.
Dental clinic: before and after        | dev   | low    | 7   | started  |                | Consent forms are in the folder.
Museum: audio guide with stills        | tariq | medium | 8   | started  |                | Twelve rooms.
Gaming channel: best of October        | nisha | medium | 3   | started  |                | Loud, fast, twelve minutes.
Bike review: into the hills            | kabir | medium | 4   | started  |                | Engine sound untouched.
Kulkarni wedding: long film            | ravi  | high   | 10  | started  |                | Sixty minutes.
Kulkarni wedding: teaser               | ravi  | high   | 6   | started  |                | Together with the long film.
NGO: clean water in Barmer             | asha  | high   | 5   | started  |                | Donors' screening next week.
Coffee estate: harvest                 | asha  | medium | -4  | blocked  |                | Slow motion at 120 frames. | Card 3 is corrupt; asked the client for a copy.
Conference: day two, main stage        | dev   | high   | 1   | blocked  |                | Slides beside the speaker. | The slides are missing.
Lullaby animation: verse two           | nisha | low    | 11  | blocked  |                | Hand-drawn look.           | Waiting for the new voice recording.
Stand-up special: rough cut            | tariq | medium | 12  | new      |                | Keep the laughter.
Podcast "Ghar Ki Baat": episode 15     | tariq | low    | 10  | new      |                | Recorded on Friday.
Nair housewarming: highlights          | dev   | low    | 13  | new      |                | Three minutes.
Yoga with Radhika: lesson 4            | nisha | medium | 8   | new      |                | With the new outro.
Rajasthan folk: season trailer         | kabir | high   | 7   | new      |                | Two versions, with and without text.
Street food: Indore at night           | leela | medium | 14  | new      |                | Eight minutes.
Thesis film: "The Last Ferry"          | -     | low    | 20  | new      |                | Student's budget.
Pet shop: kitten reel                  | -     | low    | 15  | new      |                | Short and sweet.
Annual report film: Suryodaya Textiles | -     | medium | 18  | new      |                | Numbers come on Monday.
Shah wedding: three events             | -     | high   | 16  | new      |                | Nobody is free before next week.
"""

# title | organizer | day | time | minutes | attendees | what became of it | link
MEETINGS = """
Monday round               | meera | -14 | 10:00 | 45  | All Team         | -         | monday
Monday round               | meera | -7  | 10:00 | 45  | All Team         | -         | monday
Monday round               | meera | 1   | 10:00 | 45  | All Team         | -         | monday
Monday round               | meera | 8   | 10:00 | 45  | All Team         | -         | monday
Colour workshop with Leela | sofia | -10 | 16:00 | 90  | leela asha nisha | -         | workshop
Review: Iyer wedding       | arjun | -3  | 15:30 | 30  | ravi arjun       | -         | review
Review: SoundBar X         | arjun | -6  | 12:00 | 30  | kabir            | cancelled | review
Client call: Green Meadows | sofia | 2   | 11:30 | 30  | asha meera       | moved     | client
Sound for podcasts         | sofia | 4   | 17:00 | 60  | tariq dev        | -         | workshop
Budget of the next quarter | meera | 6   | 14:00 | 60  | arjun sofia      | -         | budget
Photo day at the studio    | meera | 9   | 13:00 | 120 | All Team         | cancelled | -
"""

# room | who | day | message ("management" and editors' rooms by the editor's username)
CHAT = """
team       | meera | -14 | Good morning all. Three weddings this month, please keep an eye on your deadlines.
team       | asha  | -14 | Sharma film is exporting, link in an hour.
team       | ravi  | -13 | Does anybody have the LUT of the Kulkarni shoot?
team       | leela | -13 | In the shared folder, under Looks/2.
team       | ravi  | -13 | Found it, thanks!
team       | sofia | -9  | Colour workshop went well, the recording is in the folder.
team       | kabir | -7  | SoundBar X is through. On to the next.
team       | meera | -7  | Lovely work, Kabir. The client wrote twice how happy they are.
team       | tariq | -4  | Episode 13 is out: 4,000 listeners on day one.
team       | dev   | -3  | My machine is at the repair shop until tomorrow, reachable by phone.
team       | arjun | -3  | Take your time, Dev. Book launch moves to the afternoon.
team       | nisha | -1  | Who wants to swap a yoga lesson for a podcast?
team       | tariq | -1  | Me, any day.
management | meera | -12 | Payouts of last week: please look at them before Friday.
management | arjun | -12 | Done but for Krishi Drone, the client disputes the second version.
management | sofia | -5  | Two good applications came in. Isha's reel is strong.
management | meera | -5  | Then let's talk to her on Monday.
asha       | arjun | -4  | Coffee estate is overdue, what do you need?
asha       | asha  | -4  | Card 3 is corrupt. I wrote to the client.
asha       | arjun | -4  | Blocked it is, then. Take Green Meadows first.
dev        | dev   | -8  | Why was the Krishi Drone payout rejected?
dev        | meera | -8  | The client wants one more version. Ask again when it is through.
leela      | sofia | -2  | HR confirmed the nurses' names.
leela      | leela | -2  | Great, new version tonight.
"""
